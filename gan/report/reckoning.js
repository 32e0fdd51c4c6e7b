/* What can be reckoned without a page: chance, order, tables, the anchor's low-pass. */
"use strict";

/** Probability of at least `right` of `trials` by guessing: the one-sided binomial test of an ABX. */
function guessing(right, trials) {
  let ways = 1, sum = 0;
  for (let k = 0; k <= trials; k++) {
    if (k >= right) sum += ways;
    ways = ways * (trials - k) / (k + 1);
  }
  return sum / 2 ** trials;
}

/** A whole number from 0 to below `limit`, each as likely, from the browser's secure source. */
function drawn(limit) {
  const most = Math.floor(2 ** 32 / limit) * limit, word = new Uint32Array(1);
  do crypto.getRandomValues(word); while (word[0] >= most);
  return word[0] % limit;
}

/** A shuffled copy (Fisher and Yates); every order is as likely. */
function shuffled(list) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = drawn(i + 1);
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

function mean(numbers) {
  return numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
}

/** Rows (objects of the same keys) as CSV, RFC 4180. */
function asCsv(rows) {
  const cell = (value) => /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const names = Object.keys(rows[0] ?? {});
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/**
 * MUSHRA's low anchor (ITU-R BS.1534-3): flat to 3.5 kHz, over 50 dB down from 4.5 kHz.
 * A windowed sinc (Blackman), symmetric, so that the anchor stays in time with the others.
 */
function lowPassed(samples, rate) {
  const reach = Math.ceil(2.75 * rate / 500), cut = 3750 / rate;
  if (cut >= 0.5) return samples.slice();
  const taps = Array.from({length: 2 * reach + 1}, (_, i) => {
    const t = i - reach, turn = Math.PI * (t + reach) / reach;
    const sinc = t === 0 ? 2 * cut : Math.sin(2 * Math.PI * cut * t) / (Math.PI * t);
    return sinc * (0.42 - 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn));
  });
  const padded = new Float32Array(samples.length + 2 * reach), made = new Float32Array(samples.length);
  padded.set(samples, reach);
  for (let n = 0; n < made.length; n++) {
    let sum = 0;
    for (let k = 0; k < taps.length; k++) sum += taps[k] * padded[n + k];
    made[n] = sum;
  }
  return made;
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}
