"""Stage 3: from close to alive. The critics join: first they learn alone, on what stage 2's generator makes; then they
judge.

    accelerate launch recipes/stage3.py                            # the full size, recipes/stage3.yaml
    accelerate launch recipes/stage3.py --config recipes/tiny/stage3.yaml --adversary.judge_from 500

Started again it goes on after its newest checkpoint.
"""

from gan.trainer import run_stage

if __name__ == "__main__":
    run_stage(__file__, __doc__)
