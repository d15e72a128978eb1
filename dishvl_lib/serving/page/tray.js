// A tray: a box and a name for each dish on its photo, and the list of them with what to look at.

import { word } from "./words.js";

// Of the photo's longer side: lines and letters that are seen at any size.
const LINE = 1 / 220;
const LETTER = 1 / 26;

const element = (id) => document.getElementById(id);
const best = (dish) => dish.choice.entries[0];
const percent = (share) => `${(100 * share).toFixed(1)}%`;

export function namesOf(tray) {
  if (!tray.dishes.length) return word("noDish");
  return tray.dishes.map((dish) => best(dish).name).join("、");
}

export function summaryOf(tray) {
  const count = tray.dishes.length;
  return count ? `${count} ${word(count === 1 ? "dish" : "dishes")}` : word("noDish");
}

export function clearTray() {
  element("answer").classList.remove("tray");
  element("boxes").replaceChildren();
  element("dishes").replaceChildren();
}

export function showTray(tray) {
  element("answer").classList.add("tray");
  const [width, height] = tray.size;
  element("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  element("boxes").replaceChildren(...tray.dishes.map((dish, at) => marked(dish, at + 1, tray.size)));
  element("dishes").replaceChildren(...tray.dishes.map((dish, at) => row(dish, at + 1)));
}

// The box of a dish with its number and name at the upper edge, inside the photo.
function marked(dish, number, size) {
  const [x1, y1, x2, y2] = dish.box;
  const longer = Math.max(...size);
  const mark = drawn("g", {});
  mark.classList.toggle("review", dish.review.length > 0);
  const box = { x: x1, y: y1, width: x2 - x1, height: y2 - y1, "stroke-width": longer * LINE };
  const letter = longer * LETTER;
  const place = { ...anchored(x1, x2, size[0]), y: y1 + letter, "font-size": letter };
  const text = drawn("text", { ...place, "stroke-width": letter / 4 });
  text.textContent = `${number} ${best(dish).name}`;
  mark.append(drawn("rect", box), text);
  return mark;
}

// A name that is wider than its box runs towards the middle of the photo.
function anchored(x1, x2, width) {
  const middle = (x1 + x2) / 2;
  if (middle < width / 3) return { x: x1, "text-anchor": "start" };
  if (middle > (2 * width) / 3) return { x: x2, "text-anchor": "end" };
  return { x: middle, "text-anchor": "middle" };
}

function drawn(tag, attributes) {
  const shape = document.createElementNS(element("boxes").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  return shape;
}

function row(dish, number) {
  const line = document.createElement("li");
  line.append(
    span("number", String(number)),
    span("entry", best(dish).entry),
    span("share", percent(best(dish).probability)),
  );
  if (dish.review.length) line.append(span("why", reason(dish)));
  return line;
}

// Why somebody should look, and what else it may be.
function reason(dish) {
  const why = dish.review.map(word).join("; ");
  const others = dish.choice.entries.slice(1, 3);
  const shares = others.map(({ entry, probability }) => `${entry} ${percent(probability)}`);
  return shares.length ? `${why} (${word("otherwise")} ${shares.join(", ")})` : why;
}

function span(name, text) {
  const part = document.createElement("span");
  part.className = name;
  part.textContent = text;
  return part;
}
