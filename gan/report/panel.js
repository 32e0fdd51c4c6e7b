/* What every player has: play and pause, a place, keys. And how the page's parts are made. */
"use strict";

/** An element with attributes (functions are listeners) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function typing(target) {
  return target.matches("input[type=text], select, textarea");
}

function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], {type}));
  const link = make("a", {href: address, download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** Buttons that give results to keep. */
function downloads(name, rows, all) {
  const words = {page: document.title, made: new Date().toISOString(), ...all, rows};
  return make("div", {class: "row"},
    make("button", {type: "button", click: () => download(`${name}.csv`, asCsv(rows), "text/csv")}, "Download as CSV"),
    make("button", {type: "button", click: () => download(`${name}.json`, JSON.stringify(words, null, 1) + "\n", "application/json")},
      "Download as JSON"));
}

/** Play, pause and place of a deck, made when it is first needed. */
class Panel {
  /**
   * @param {string} name for those who do not see it
   * @param {() => Promise<Deck>} load
   */
  constructor(name, load) {
    this.load = load;
    this.deck = null;
    this.button = make("button", {type: "button", click: () => this.toggle()}, "Play");
    this.slider = make("input", {type: "range", min: 0, max: 1000, value: 0, "aria-label": `Place in ${name}`,
      input: () => this.ready().then((deck) => deck.seek(this.slider.value / 1000 * deck.length))});
    this.time = make("output", {}, clock(0));
    this.said = make("span", {role: "status", class: "hint"});
    this.bar = make("div", {class: "row"}, this.button, this.slider, this.time, this.said);
  }

  async ready() {
    try {
      this.loading ??= this.load();
      this.deck = await this.loading;
    } catch (error) {
      this.loading = null;
      this.said.textContent = `This browser cannot play it (${error.message}).`;
      throw error;
    }
    return this.deck;
  }

  async toggle() {
    const deck = await this.ready();
    if (deck.playing) this.stop();
    else await this.start();
  }

  async start() {
    const deck = await this.ready();
    if (sounding !== this) sounding?.stop();
    sounding = this;
    await deck.context.resume?.();
    deck.play();
    this.show();
  }

  stop() {
    this.deck?.pause();
    if (sounding === this) sounding = null;
    this.show();
  }

  /** Hear a sound: from here on, or begin with it. */
  async hear(index) {
    const deck = await this.ready();
    deck.choose(index);
    if (!deck.playing) await this.start();
  }

  show() {
    if (!this.deck) return;
    this.button.textContent = this.deck.playing ? "Pause" : "Play";
    this.time.textContent = `${clock(this.deck.position)} of ${clock(this.deck.length)}`;
    this.slider.setAttribute("aria-valuetext", this.time.textContent);
    if (document.activeElement !== this.slider) this.slider.value = 1000 * this.deck.position / this.deck.length;
    if (this.deck.playing) requestAnimationFrame(() => this.show());
  }
}

/** Press buttons by letters: {letter: function}, while the focus is inside an element and not where one types. */
function keys(element, doings) {
  element.addEventListener("keydown", (event) => {
    const doing = doings[event.key.toLowerCase()];
    if (!doing || typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    doing();
  });
}

/** Mark one of several buttons as the one that is heard. */
function press(buttons, index) {
  buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
}

/** Turn a clip's players, one by one, into one that switches. */
function listen(clip) {
  let matched = true;
  const levels = () => clip.gains.map((gain) => matched ? gain : 1);
  const panel = new Panel(clip.title, async () => new Deck(contextOf(clip.rate), await clip.sounds(), levels()));
  const note = make("span", {class: "hint"}, clip.notes[0]);
  const hear = (index) => {
    press(buttons, index);
    note.textContent = clip.notes[index];
    return panel.hear(index);
  };
  const buttons = clip.labels.map((label, i) => make("button", {type: "button", click: () => hear(i)}, `${i + 1} ${label}`));
  press(buttons, 0);
  const same = make("input", {type: "checkbox", checked: true, change: () => {
    matched = same.checked;
    panel.deck?.setLevels(levels());
  }});
  const box = make("div", {class: "deck", role: "group", "aria-label": `Player: ${clip.title}`},
    panel.bar, make("div", {class: "row", role: "group", "aria-label": "Which one is heard"}, ...buttons, note),
    make("label", {}, same, "all equally loud"));
  keys(box, {p: () => panel.toggle(), ...Object.fromEntries(buttons.map((_, i) => [String(i + 1), () => hear(i)]))});
  const single = clip.article.querySelector("details.single");
  single.before(box);
  single.open = false;
}
