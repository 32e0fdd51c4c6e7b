"""Stage 1: from nothing to the target's spectrum. Mel distance and 10 times L1, no critics.

    accelerate launch recipes/stage1.py                            # the full size, recipes/stage1.yaml
    accelerate launch recipes/stage1.py --config recipes/tiny/stage1.yaml --data.pairs my/pairs
    accelerate launch recipes/stage1.py --data.batch 8 --print_config

Started again it goes on after its newest checkpoint.
"""

from gan.trainer import run_stage

if __name__ == "__main__":
    run_stage(__file__, __doc__)
