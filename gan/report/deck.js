/* Sounds on one clock: all of them run, one of them is heard, and which one changes without a gap or a jump. */
"use strict";

const LEAD = 0.05, FADE = 0.002; // seconds: until a start that no source misses; time constant of a change
const GAP = 0.005; // seconds that a blind change is silent after, and as long again until the other is there

class Deck {
  /**
   * @param {BaseAudioContext} context where they sound
   * @param {AudioBuffer[]} buffers of one length, in time with each other
   * @param {number[]} levels what each is multiplied by when it is heard
   * @param {boolean} blind whether a change to the same sound is to be heard like any other
   */
  constructor(context, buffers, levels, blind = false) {
    Object.assign(this, {context, buffers, levels, blind});
    this.length = Math.min(...buffers.map((buffer) => buffer.duration));
    this.chosen = 0;
    this.at = 0; // seconds: where it begins next
    this.voices = null;
    this.begun = 0;
  }

  get playing() { return this.voices !== null; }

  get position() {
    if (!this.playing) return this.at;
    return (this.at + Math.max(0, this.context.currentTime - this.begun)) % this.length;
  }

  play(when = this.context.currentTime + LEAD) {
    if (this.playing) return;
    this.begun = when;
    this.voices = this.buffers.map((buffer, i) => {
      const source = new AudioBufferSourceNode(this.context, {buffer, loop: true, loopStart: 0, loopEnd: this.length});
      const level = new GainNode(this.context, {gain: i === this.chosen ? this.levels[i] : 0});
      source.connect(level).connect(this.context.destination);
      source.start(when, this.at);
      return {source, level};
    });
  }

  pause() {
    if (!this.playing) return;
    this.at = this.position;
    for (const {source, level} of this.voices) { source.stop(); level.disconnect(); }
    this.voices = null;
  }

  seek(seconds) {
    const playing = this.playing;
    this.pause();
    this.at = Math.min(Math.max(0, seconds), this.length - 0.001);
    if (playing) this.play();
  }

  /** Hear another one from this instant on, at the very place where the last one was. */
  choose(index) {
    this.chosen = index;
    const now = this.context.currentTime;
    this.voices?.forEach(({level}, i) => {
      if (this.blind) { dip(level.gain, i === index ? this.levels[i] : 0, now); return; }
      level.gain.setTargetAtTime(i === index ? this.levels[i] : 0, now, FADE);
    });
  }

  setLevels(levels) {
    this.levels = levels;
    this.choose(this.chosen);
  }
}

/**
 * Down to nothing and then up to a level. Where two sounds cross-fade there may be a click or a dip, where one goes on
 * there is none, which would tell a listener what X is: so all changes take the same way.
 */
function dip(gain, level, now) {
  gain.cancelScheduledValues(now); // of a change that this one cuts short; from wherever it was, all goes down
  gain.setTargetAtTime(0, now, GAP / 6);
  gain.setValueAtTime(0, now + GAP);
  gain.setTargetAtTime(level, now + GAP, GAP / 6);
}

const contexts = new Map();
let sounding = null; // the panel that plays: one at a time

/** The page's clock at a sample rate; sounds are decoded at their own rate, so none is resampled before it is mixed. */
function contextOf(rate) {
  if (!contexts.has(rate)) {
    let context;
    try { context = new AudioContext({sampleRate: rate}); } catch { context = new AudioContext(); }
    contexts.set(rate, context);
  }
  return contexts.get(rate);
}

function bytesOf(address) {
  return Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0)).buffer;
}

/** A clip of the page: what its figures say, and its sounds once they are asked for. */
class Clip {
  constructor(article) {
    const figures = [...article.querySelectorAll("figure[data-label]")];
    this.article = article;
    this.title = article.dataset.title;
    this.rate = Number(article.dataset.rate);
    this.labels = figures.map((figure) => figure.dataset.label);
    this.notes = figures.map((figure) => figure.querySelector("i")?.textContent ?? "");
    this.gains = figures.map((figure) => Number(figure.dataset.gain));
    this.reference = figures.findIndex((figure) => "reference" in figure.dataset);
    this.addresses = figures.map((figure) => figure.querySelector("audio").src);
  }

  /** Decoded sounds, [label order]. */
  sounds() {
    const context = contextOf(this.rate);
    this.decoded ??= Promise.all(this.addresses.map((address) => context.decodeAudioData(bytesOf(address))));
    return this.decoded;
  }
}

function peakOf(buffer) {
  let peak = 0;
  for (let c = 0; c < buffer.numberOfChannels; c++) for (const x of buffer.getChannelData(c)) peak = Math.max(peak, Math.abs(x));
  return peak;
}

/** A sound with nothing above 3.5 kHz. */
function anchorOf(buffer) {
  const made = new AudioBuffer({length: buffer.length, sampleRate: buffer.sampleRate, numberOfChannels: buffer.numberOfChannels});
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    made.copyToChannel(lowPassed(buffer.getChannelData(c), buffer.sampleRate), c);
  }
  return made;
}
