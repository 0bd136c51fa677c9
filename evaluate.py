"""Scores a model on a test set, in comparison with the mixture used as estimate.

python evaluate.py --model=MODEL --data=TEST --out=DIR

TEST/<track>/ contains mixture, piano and violin, recordings of any common format.
"""

from sep.cli import evaluate

if __name__ == "__main__":
    evaluate.run()
