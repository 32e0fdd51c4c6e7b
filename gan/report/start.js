/* The page as it stands becomes one that can be played with; without this it shows plain players. */
"use strict";

const clips = [...document.querySelectorAll("article[data-title]")].map((article) => new Clip(article));
clips.forEach(listen);
const tests = document.getElementById("tests");
if (tests) {
  tests.hidden = false;
  const pairs = clips.filter((clip) => clip.labels.length > 1);
  if (pairs.length) abx(document.getElementById("abx"), pairs);
  const known = pairs.filter((clip) => clip.reference >= 0);
  const rating = document.getElementById("mushra");
  if (known.length) mushra(rating, known); else rating.hidden = true;
}
