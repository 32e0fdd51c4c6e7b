"""What the commands of `unshift` say of themselves."""

SHIFTERS = "(default: Signalsmith; World, Psola, RubberBand, Librosa, Torchaudio, PhaseVocoder, a class path)"

MODEL = "a run, a checkpoint, a generator's folder, voice48, or user/name on the Hugging Face hub"
SHIPPED = " (default: voice48, the restorer that comes with unshift)"

ABOUT = """\
unshift mends the damage that pitch shifting does to sound. A neural network, trained on pairs of shifted and clean
audio, restores what a DSP shifter smeared, dulled or doubled."""

COURSE = """\
at once, offline, with the restorer that comes with unshift:
  unshift restore shifted.wav mended.wav                     mend what was shifted elsewhere
  unshift shift song.wav up7.wav --semitones 7               shift a file and mend it

the way to a restorer of your own:
  unshift pairs voices/ pairs/ --semitones -12 -7 0 7 12     1. make training pairs out of clean recordings
  accelerate launch recipes/stage1.py                        2. train (then stage2.py, stage3.py)
  unshift inspect runs/stage3                                3. what came out
  unshift shift song.wav up5.wav --semitones 5 --model runs/stage3
                                                             4. shift a file and mend it
  unshift restore shifted.wav mended.wav --model runs/stage3
                                                             4. or mend one that was shifted elsewhere
  unshift restore album/ mended/ --model runs/stage3            or every file of a folder

the usual way of a codec, which writes sound down small:
  unshift pairs voices/ pairs16/ --semitones 0 --rate 16000  1. recordings as they are
  accelerate launch recipes/stage1.py --config recipes/codec/stage1.yaml
                                                             2. train: this writes runs/codec1
  accelerate launch recipes/stage3.py --config recipes/codec/stage3.yaml
                                                             3. the critics join: this writes runs/codec3
  unshift inspect runs/codec3 --on voices/                   4. what came out, and its bitrate on your sound
  unshift encode song.wav song.unshift --model runs/codec3   5. write a file down small
  unshift decode song.unshift back.wav --model runs/codec3   6. and read it back

`unshift COMMAND --help` tells more of each command.
exit codes: 0 all went well (`pairs` leaves bad recordings out, and says so), 1 some files of a folder failed
(`compare`: the first is worse), 2 nothing was done: a wrong wish, or every file failed; 130 stopped with Ctrl-C"""

FAILURES = """\


Of a folder, a file that fails does not stop the others; the exit code is 1 if some failed, 2 if all did."""

RESTORE = """\
Mend audio that was pitch-shifted, with voice48, the restorer that comes with unshift, or with what --model names. The
output has the input's length, sample rate, channels and sample format. Files of any length work in constant memory. A
file appears under its name only once it is whole."""

RESTORE_EXAMPLES = """\
examples:
  unshift restore shifted.wav mended.wav                     with voice48, which comes with unshift
  unshift restore shifted.wav mended.wav --model runs/stage3
  unshift restore album/ mended/ --model runs/stage3         every wav, flac, ogg, mp3, aiff and opus file below album/
  unshift restore in.flac out.flac --model runs/stage3/checkpoints/00010000 --chunk-seconds 2
  unshift restore in.wav half.wav --model runs/stage3 --strength 0.5         half way from the input to the mended

In a folder, files that are in OUT already are left alone, so a run that was stopped can go on; --overwrite does
them again."""

SHIFT = """\
Shift the pitch with a DSP shifter, then mend the result with a trained network: the timing stays, the pitch moves.
The network is voice48, which comes with unshift, or what --model names; --no-restore leaves it out."""

SHIFT_EXAMPLES = """\
examples:
  unshift shift song.wav up.wav --semitones 7                with voice48
  unshift shift song.wav up.wav --semitones 5 --model runs/stage3
  unshift shift song.wav down.wav --semitones -3.5 --no-restore      the DSP shifter alone, to compare with"""

PAIRS = """\
Make training pairs out of clean recordings: every file is shifted by so many semitones and back again; what comes
back is the damaged source, the recording itself the target.

With --channels 2 left and right stay apart, as a codec of two channels needs them; a mono recording becomes both
channels, and a recording of more than two is left out: mix it down first. Without it all channels are mixed to one,
which is what restorers, working channel by channel, are trained on. Signalsmith and RubberBand shift two channels
together; the other shifters each by itself, which keeps them in time but not what is between them in place."""

PAIRS_EXAMPLES = """\
examples:
  unshift pairs voices/ pairs/ --semitones -12 -7 0 7 12
  unshift pairs voices/ pairs/ --semitones 12 --shifter Signalsmith --shifter World --workers 4
  unshift pairs voices/ pairs/ --held-out p225 p226          these speakers' folders are for the test only
  unshift pairs music/ stereo/ --semitones 0 --channels 2    recordings as they are, for a stereo codec
  unshift pairs voices/ pairs/ --check                       make nothing: say what is wrong with either"""

ENCODE = """\
Encode audio with a codec: a neural network turns it into few numbers, which become a small file. The sound comes back
with the input's length, sample rate and channels, in the band that the codec hears (half its own rate). The file keeps
the fingerprint of the codec's encoding side: to decode it, that codec is needed, or one whose decoder alone has learned
on from it."""

ENCODE_EXAMPLES = """\
examples:
  unshift encode song.wav song.unshift --model runs/codec3
  unshift encode song.wav small.unshift --model runs/codec3 --codebooks 4    coarser and smaller
  unshift encode album/ encoded/ --model runs/codec3         album/a.flac becomes encoded/a.flac.unshift

`unshift inspect song.unshift` says what came out; `unshift trim` makes it smaller later on, without the codec."""

DECODE = """\
Decode what `unshift encode` made, with the codec that made it. The output has the length, sample rate and channels of
what was encoded; its name's ending decides the format. A section is decoded without reading the rest."""

DECODE_EXAMPLES = """\
examples:
  unshift decode song.unshift song.wav --model runs/codec3
  unshift decode song.unshift part.flac --model runs/codec3 --from 12 --to 15.5   these 3.5 seconds only
  unshift decode song.unshift rough.wav --model runs/codec3 --codebooks 2         only the coarsest codebooks
  unshift decode encoded/ album/ --model runs/codec3         encoded/a.flac.unshift becomes album/a.flac

In a folder, what was neither WAV nor FLAC becomes WAV: b.mp3.unshift becomes b.mp3.wav."""

TRIM = """\
Make an encoded file smaller by leaving out its finest codebooks. Nothing is decoded and no codec is needed: the result
is byte for byte what encoding with so few codebooks gives."""

TRIM_EXAMPLES = """\
examples:
  unshift trim song.unshift small.unshift --codebooks 4
  unshift trim song.unshift smallest.unshift --codebooks 1
  unshift trim encoded/ small/ --codebooks 4                 every .unshift file of a folder"""

INSPECT = """\
Say what a trained model is: its class, parameters, receptive field, sample rate, and multiply-accumulate operations
per second of sound; of a codec its codebooks, bitrate and fingerprints too. Or say what an encoded file holds: a codec
whose codes' SHA-256 is the file's can read it.

Of a folder of recordings, or of pairs, say what is wrong with which: damaged, silent (wholly, or long silences over 60
% of it), clipped, off zero, upsampled (a brick wall under 72 % of half the rate, or the mirrored image that soft
filters and linear interpolation leave), of another rate than the others, there twice, with a dead or opposite channel;
of pairs also: sides that are apart in time (in samples), pitch or level, not of one recording, with swapped channels or
an unequal number of them. Not found are clipping that was filtered or resampled since, soft upsampling from unusual
rates, and what plays at the wrong speed with a header like its neighbours'. Exit code 0: nothing is wrong, 1: something
is."""

INSPECTED = f"{MODEL}; or an encoded file, or a folder of recordings or pairs"

INSPECT_EXAMPLES = """\
examples:
  unshift inspect voice48                                    the restorer that comes with unshift
  unshift inspect runs/stage3
  unshift inspect runs/stage3/checkpoints/00010000/average --json
  unshift inspect runs/codec3 --on voices/                   entropy, used entries and true bitrate on your sound
  unshift inspect runs/codec_som --picture maps.png          the grids of self-organising maps
  unshift inspect song.unshift                               length, sample rate, channels, bitrate, codebooks
  unshift inspect voices/                                    faults of recordings, before pairs are made of them
  unshift inspect pairs/ --json                              faults of pairs, every figure"""

REPORT = """\
Write one HTML page about a run, or about what `unshift evaluate` found: loss curves with the doctor's verdicts, tables
by corpus, spectrograms, players that switch at the same instant, blind listening tests (ABX and MUSHRA) and the model
card. It is one file that needs no network and no server. It is whole or not there."""

REPORT_EXAMPLES = """\
examples:
  unshift report runs/stage3                                 writes runs/stage3/report.html
  unshift report results/ --output page.html --clips 10
  unshift report results/results.json --pairs pairs/ --model runs/stage3    where they lie elsewhere by now

Clips that do not fit into --megabytes are left out, and the page says which."""

EVALUATE = """\
Measure what a model is worth: the shifted side of every test pair is mended, and both are measured beside the clean
side. FOLDER gets results.json (everything), results.csv (a row for each file and system) and summary.csv; the summary
is printed, corpus by corpus. A corpus is a folder below that of the recordings; corpora are never pooled, and what was
not shifted stands apart: there all that a model can do is harm. The unrepaired input always has its own figures.

The names for --measures:
  mel stft lsd_0_4k lsd_4_8k lsd_8_16k lsd_16_24k     distances of spectra
  envelope                                            distance of all-pole envelopes, the formants' place
  f0_median f0_p95 f0_octave voicing periodicity      errors of the pitch
  si_sdr                                              of what was not shifted: does it do harm?
  visqol visqol_speech pesq stoi                      listener models that hear the clean side too
  distillmos dnsmos pq                                listener models that hear the output alone
The last two lines come with unshift[evaluation], dnsmos with unshift[dnsmos], pq with unshift[aesthetics]; pq fetches
its weights from the Hugging Face hub, so it is taken only where it is named. visqol_speech, pesq, stoi, distillmos and
dnsmos know speech alone: --speech says which corpora are. Each channel is heard by itself. Of a silent clean side
there is a mel distance alone, and SI-SDR ends at 100 dB, where nothing but rounding is left.

A model of one-way pairs is itself the shifter that undoes the shift, and its output is held against the clean side as
any other's. With --one-way repair the shift stays: the pitch is held against the shifted one, the envelope against the
clean side's (a shift should keep formants), and of listener models only those that hear the output alone are asked.

What is done is kept in FOLDER/unfinished until all is: stopped, the same command goes on with the rest."""

EVALUATE_EXAMPLES = """\
examples:
  unshift evaluate runs/stage3 pairs/ --out results/stage3 --speech
  unshift evaluate runs/stage3 pairs/ --out results/quick --files 20 --measures mel f0_median
  unshift evaluate runs/stage3 pairs/ --out results/beside --beside World RubberBand --speech read sung --workers 4

exit codes: 0 all went well, 1 some files or measures of them failed, 2 nothing was done"""

COMPARE = """\
Compare two systems file by file, measure by measure, each corpus by itself: clips that were not shifted, and one-way
shifts, are apart too. Of each difference there is a 95 % bootstrap interval over recordings, not files (shifts of one
recording are no independent witnesses), and a p-value of Wilcoxon's signed rank test on the recordings' means. The
measures that decide are corrected for their number and that of the corpora after Holm. A is worse where a corrected
p-value is below 0.05 and the interval lies wholly on the bad side. Every recording weighs the same, however many files
were made of it. What B has and A lacks, files or measures that decide, is an error unless --allow-missing is given."""

COMPARE_EXAMPLES = """\
examples:
  unshift compare results/new results/old                    the mel distance decides
  unshift compare results/new results/old --measures mel envelope voicing --json
  unshift compare runs/stage3 runs/stage2 --pairs pairs/    evaluates both first, on the test split
  unshift compare results/new results/new --system-b unrepaired        does the model mend at all?

exit codes: 0 A is not significantly worse than B, or no verdict is possible, which the last line says; 1 it is, in a
measure that decides; 2 a wrong wish. With fewer than six recordings of a corpus the test can find nothing; more
measures need more, and the output says how many."""

GRID = """\
Lay a model's results out by shifter and shift, for each corpus: the change against the unrepaired input with its 95 %
interval over recordings; what became of clips that were not shifted; and a picture: the change by semitone with its
interval, and quality itself below. One-way shifts evaluated with --one-way repair have no reference: the grid shows the
measures that their results have.

With --without, models that were each trained without one shifter are held against those that saw it."""

GRID_EXAMPLES = """\
examples:
  unshift pairs recordings/ pairs/ --shifter Signalsmith --shifter World --shifter Psola \\
      --semitones -12 -7 -5 -3 -2 -1 0 1 2 3 5 7 12          folders of recordings/ are the corpora: speech, mix ...
  unshift evaluate runs/stage3 pairs/ --out results/
  unshift grid results/                                      prints the tables, draws results/grid.png

leaving one shifter out: train on the pairs of all others (the same SRC, --seed and splits), evaluate on those of all:
  unshift pairs recordings/ pairs_without_world/ --shifter Signalsmith --shifter Psola --semitones ...
  unshift evaluate RUN_WITHOUT_WORLD pairs/ --out results/without_world
  unshift grid --without World=results/without_world --without Psola=results/without_psola"""

IMPORT = """\
Turn the weights of a Descript Audio Codec (a .pth file as `python -m dac download` leaves it, or a folder that
transformers' DacModel was saved to) into a model of this program. Nothing in the file is executed."""

IMPORT_EXAMPLES = """\
examples:
  unshift import ~/.cache/descript/dac/weights_44khz_8kbps_0.0.1.pth dac44/
  unshift encode song.wav song.unshift --model dac44"""
