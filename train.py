"""Trains a separator on a folder of stems; the same command continues a run.

python train.py --data=DATA --workdir=WORKDIR [--arch=A] [--representation=R]
                [--config=configs/x.py] [--config.train.steps=1000]

DATA/{train,valid}/{piano,violin}/* are recordings of any sample rate and common format.
"""

from sep.cli import train

if __name__ == "__main__":
    train.run()
