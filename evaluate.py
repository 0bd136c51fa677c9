"""Scores a model on a test set, beside the mixture as its own estimate.

python evaluate.py --model=MODEL --data=TEST --out=DIR

TEST/<track>/ holds mixture, piano and violin, each a recording of any common format.
"""

from sep.cli import evaluate

if __name__ == "__main__":
    evaluate.run()
