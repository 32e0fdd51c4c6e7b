/* How good is each? Every sound against the known reference, which is hidden among them too, as is a low anchor. */
"use strict";

const ANCHOR = "low anchor (3.5 kHz)", HIDDEN = "hidden reference", SURE = 90, HIGHEST = 0.99;

/** Means by sound, and whether the hidden reference was known (ITU-R BS.1534-3 leaves a listener out otherwise). */
function mushraWords(rows) {
  const names = [...new Set(rows.map((row) => row.sound))].sort();
  const means = names.map((sound) => ({sound, mean: mean(rows.filter((row) => row.sound === sound).map((row) => row.score))}));
  const hidden = rows.filter((row) => row.sound === HIDDEN), missed = hidden.filter((row) => row.score < SURE).length;
  const sentence = `The hidden reference was given less than ${SURE} on ${missed} of ${hidden.length} clips` +
    (missed > 0.15 * hidden.length ? ": by the rule (at most 15 %) this listener's scores do not count." : ".");
  return {means: means.sort((one, other) => other.mean - one.mean), missed, clips: hidden.length, sentence};
}

function mushra(section, clips) {
  const who = make("input", {type: "text", autocomplete: "off", placeholder: "a name, if you like"});
  const stage = make("div");
  let running = null;
  const begin = () => {
    running?.stop();
    const rows = [], left = shuffled(clips);
    const next = () => {
      const clip = left.shift();
      if (!clip) { mushraEnd(stage, rows.map((row) => ({listener: who.value, ...row})), who.value); return; }
      running = mushraClip(stage, clip, `Clip ${clips.length - left.length} of ${clips.length}`, (scored) => { rows.push(...scored); next(); });
    };
    next();
  };
  section.append(make("div", {class: "row"}, make("label", {}, "Listener", who),
    make("button", {type: "button", click: begin}, "Begin the MUSHRA test")), stage);
}

function mushraClip(stage, clip, words, done) {
  const {reference, labels} = clip, level = clip.gains[reference];
  const hidden = shuffled([{label: HIDDEN, sound: reference}, {label: ANCHOR, sound: -1},
    ...labels.map((label, sound) => ({label, sound})).filter(({sound}) => sound !== reference)]);
  const load = async () => {
    const sounds = await clip.sounds(), anchor = anchorOf(sounds[reference]);
    const order = hidden.map(({sound}) => sound < 0 ? anchor : sounds[sound]);
    const levels = hidden.map(({sound}) => sound < 0 ? level : clip.gains[sound]);
    // A low-pass makes some peaks higher; all become softer, as the anchor must not clip.
    const softer = Math.min(1, HIGHEST / (level * peakOf(anchor)));
    return new Deck(contextOf(clip.rate), [sounds[reference], ...order], [level, ...levels].map((one) => softer * one), true);
  };
  const panel = new Panel("the test", load), heard = new Set();
  const hear = (index) => { heard.add(index); press(buttons, index); check(); return panel.hear(index); };
  const buttons = [make("button", {type: "button", click: () => hear(0)}, "0 Reference"),
    ...hidden.map((_, i) => make("button", {type: "button", click: () => hear(i + 1)}, `${i + 1} Sound ${i + 1}`))];
  const touched = new Set();
  const sliders = hidden.map((_, i) => make("input", {type: "range", min: 0, max: 100, step: 1, value: 50,
    "aria-label": `Score of sound ${i + 1}, 0 bad to 100 excellent`,
    input: () => { touched.add(i); figures[i].textContent = sliders[i].value; check(); }}));
  const figures = hidden.map(() => make("output", {}, "–"));
  const ready = make("button", {type: "button", disabled: true, click: () => {
    panel.stop();
    done(hidden.map(({label}, i) => ({clip: clip.title, sound: label, shown_as: i + 1, score: Number(sliders[i].value)})));
  }}, "Done with this clip");
  const check = () => { ready.disabled = !(hidden.every((_, i) => touched.has(i) && heard.has(i + 1))); };
  const title = make("h4", {tabindex: -1}, words);
  const scale = make("div", {class: "scale", "aria-hidden": "true"}, ...["0 bad", "poor", "fair", "good", "excellent 100"].map((word) => make("span", {}, word)));
  const ratings = hidden.map((_, i) => make("div", {class: "rating"}, buttons[i + 1], sliders[i], figures[i]));
  const box = make("div", {role: "group", "aria-label": "MUSHRA test"}, title, panel.bar, make("div", {class: "row"}, buttons[0]), scale,
    ...ratings, make("div", {class: "row"}, ready),
    make("p", {class: "hint"}, "Hear every sound, and move every slider. Keys: 0 for the reference, 1, 2, 3 … for the sounds, p to pause."));
  keys(box, {p: () => panel.toggle(), ...Object.fromEntries(buttons.map((_, i) => [String(i), () => hear(i)]))});
  press(buttons, -1);
  stage.replaceChildren(box);
  title.focus();
  return panel;
}

function mushraEnd(stage, rows, listener) {
  const {means, missed, clips, sentence} = mushraWords(rows);
  const title = make("h4", {tabindex: -1}, "Result");
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, "sound"), make("th", {}, "mean score"))),
    make("tbody", {}, ...means.map(({sound, mean}) => make("tr", {}, make("th", {scope: "row"}, sound), make("td", {}, mean.toFixed(1))))));
  stage.replaceChildren(title, make("p", {class: "result"}, sentence), make("div", {class: "scroll"}, table),
    downloads("mushra", rows, {test: "MUSHRA", listener, means, missed, clips}));
  title.focus();
}
