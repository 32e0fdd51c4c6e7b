/* Is there any difference to hear? X is A or B, drawn anew each time; who hears none is right half of the time. */
"use strict";

/** The results of an ABX: what the page says, and what it gives away. */
function abxWords(answers) {
  const right = answers.filter((answer) => answer.correct).length, p = guessing(right, answers.length);
  const heard = p < 0.05 ? "A difference was heard." : "That a difference was heard is not shown.";
  return {right, trials: answers.length, p,
    sentence: `${right} of ${answers.length} right; by guessing that many or more come with p = ${p.toPrecision(3)}. ${heard}`};
}

function abx(section, clips) {
  const choices = clips.flatMap((clip) => clip.labels.flatMap((a, i) => clip.labels.slice(i + 1).map((b, j) =>
    ({clip, a: i, b: i + 1 + j, words: `${clip.title}: ${a} or ${b}`}))));
  const which = make("select", {}, ...choices.map((choice, i) => make("option", {value: i}, choice.words)));
  const count = make("select", {}, ...[8, 12, 16, 24].map((n) => make("option", {value: n, selected: n === 16}, String(n))));
  const who = make("input", {type: "text", autocomplete: "off", placeholder: "a name, if you like"});
  const stage = make("div");
  let running = null;
  const begin = () => {
    running?.stop();
    running = abxTrials(stage, choices[which.value], Number(count.value), () => who.value);
  };
  section.append(
    make("div", {class: "row"}, make("label", {}, "Sounds", which), make("label", {}, "Trials", count), make("label", {}, "Listener", who)),
    make("div", {class: "row"}, make("button", {type: "button", click: begin}, "Begin the ABX test")), stage);
}

function abxTrials(stage, {clip, a, b}, trials, who) {
  const answers = [];
  let secret = drawn(2), begun = performance.now();
  const load = async () => {
    const sounds = await clip.sounds();
    return new Deck(contextOf(clip.rate), [sounds[a], sounds[b]], [clip.gains[a], clip.gains[b]], true);
  };
  const panel = new Panel("the test", load);
  const hear = (button) => { press(sounds, button); return panel.hear(button === 2 ? secret : button); };
  const sounds = ["A", "B", "X"].map((name, i) => make("button", {type: "button", click: () => hear(i)}, name));
  const title = make("h4", {tabindex: -1});
  const say = () => { title.textContent = `Trial ${answers.length + 1} of ${trials}`; };
  const answer = (said) => {
    if (answers.length >= trials) return;
    answers.push({trial: answers.length + 1, clip: clip.title, a: clip.labels[a], b: clip.labels[b], x: "AB"[secret],
      answer: "AB"[said], correct: said === secret, seconds: Math.round((performance.now() - begun) / 100) / 10});
    panel.stop();
    if (answers.length === trials) { abxEnd(stage, answers, who()); return; }
    [secret, begun] = [drawn(2), performance.now()];
    panel.deck?.seek(0);
    press(sounds, -1);
    say();
  };
  const answering = ["X is A", "X is B"].map((words, i) => make("button", {type: "button", click: () => answer(i)}, words));
  const box = make("div", {role: "group", "aria-label": "ABX test"}, title, panel.bar,
    make("div", {class: "row"}, ...sounds), make("div", {class: "row"}, ...answering),
    make("p", {class: "hint"}, "Keys: a, b, x to hear, p to pause, 1 for “X is A”, 2 for “X is B”."));
  keys(box, {a: () => hear(0), b: () => hear(1), x: () => hear(2), p: () => panel.toggle(), 1: () => answer(0), 2: () => answer(1)});
  press(sounds, -1);
  say();
  stage.replaceChildren(box);
  title.focus();
  return panel;
}

function abxEnd(stage, answers, listener) {
  const {right, trials, p, sentence} = abxWords(answers);
  const title = make("h4", {tabindex: -1}, "Result");
  stage.replaceChildren(title, make("p", {class: "result"}, sentence),
    downloads("abx", answers.map((answer) => ({listener, ...answer})), {test: "ABX", listener, right, trials, p}));
  title.focus();
}
