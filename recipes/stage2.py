"""Stage 2: from the spectrum to how it sounds. Stage 1's losses, and the distance in what frozen ears hear: WavLM's
convolutions and DAC's encoder. It starts from stage 1's best average.

    accelerate launch recipes/stage2.py                            # the full size, recipes/stage2.yaml
    accelerate launch recipes/stage2.py --config recipes/tiny/stage2.yaml --initialise.folder runs/mine

Started again it goes on after its newest checkpoint.
"""

from gan.trainer import run_stage

if __name__ == "__main__":
    run_stage(__file__, __doc__)
