"""Compares representations and architectures on equal budgets; runs can be continued.

python study.py --config=configs/study.py --data=STEMS --tests=A=TEST --out=STUDY --tflop=8
"""

from sep.cli import study

if __name__ == "__main__":
    study.run()
