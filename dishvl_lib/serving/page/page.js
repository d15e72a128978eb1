// The till's page: a photo, the menu that it is asked from, the answer, corrections.
// Photos stay in this page's memory; only a correction, when it is confirmed, is kept by the service.

import { ask } from "./service.js";
import { clearTray, namesOf, showTray, summaryOf } from "./tray.js";
import { change, show, word } from "./words.js";

const MOST_RECENT = 20;
const ENTRIES_SHOWN = 5;
const SITE = "dishvl.site";
const WHOLE = "dishvl.whole";

const element = (id) => document.getElementById(id);
const recent = []; // {photo, url, site, answer, at, stored}, newest first
let current = null; // the one that is shown
let savedMenu = ""; // as the service has it
let menuTurn = 0; // counts loading, saving and writing: what was begun before is late
let newest = 0; // number of the last photo: an older answer that comes late is not shown

function complain(error) {
  element("problem").textContent = error ? error.message : "";
  element("problem").hidden = !error;
}

// Runs what a person began; what fails is said.
async function attempt(action) {
  complain(null);
  try {
    await action();
  } catch (error) {
    complain(error);
  }
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;
const isDoubtful = ({ choice, tray }) =>
  tray ? tray.review.length > 0 : choice !== null && choice.answer === null;

function text({ choice, name, tray }) {
  if (tray) return namesOf(tray);
  return choice ? choice.answer ?? word("absent") : name;
}

// --- the menu ---

const menuPath = (site) => `/v1/menus/${encodeURIComponent(site)}`;
const siteName = () => element("site").value.trim();
const isChanged = () => element("menu").value.trim() !== savedMenu.trim();

function showMenuState() {
  const state = isChanged() ? "unsaved" : savedMenu ? "saved" : "noMenu";
  element("state").textContent = word(state);
}

async function loadSites() {
  const { sites } = await ask("GET", "/v1/menus");
  const options = sites.map((site) => new Option(site, site));
  element("sites").replaceChildren(...options);
  return sites;
}

// Nobody writes to a menu that is about to be replaced; of two sites the one chosen last counts.
async function loadMenu() {
  const turn = ++menuTurn;
  const site = siteName();
  localStorage.setItem(SITE, site);
  setLoading(true);
  try {
    const sites = await loadSites();
    const menu = sites.includes(site) ? await ask("GET", menuPath(site)) : null;
    if (turn !== menuTurn) return;
    savedMenu = menu ? written(menu) : "";
    if (menu) element("menu").value = savedMenu;
  } finally {
    if (turn === menuTurn) setLoading(false);
  }
  showMenuState();
}

function setLoading(isLoading) {
  element("menu").readOnly = isLoading;
  element("save").disabled = isLoading;
}

async function saveMenu() {
  const turn = ++menuTurn;
  const site = siteName();
  if (!site) throw new Error(word("noSite"));
  const lines = element("menu").value.split("\n");
  const entries = lines.map((line) => line.trim()).filter((line) => line);
  const body = JSON.stringify({ entries });
  const menu = await ask("PUT", menuPath(site), body, "application/json");
  if (site === siteName()) savedMenu = written(menu);
  if (turn === menuTurn) element("menu").value = savedMenu;
  showMenuState();
  await loadSites();
}

const written = (menu) => menu.entries.map((entry) => entry.entry).join("\n");

// --- a photo and its answer ---

async function recognise(photo) {
  if (!photo) return;
  const menu = element("menu").value.trim();
  if (isWhole() && !menu) throw new Error(word("trayNeedsMenu"));
  const number = ++newest;
  const form = new FormData();
  form.append("photo", photo);
  form.append(isWhole() ? "detect" : "naming", "true");
  form.append("top_k", String(ENTRIES_SHOWN));
  if (menu && isChanged()) form.append("menu", menu);
  else if (menu) form.append("site", siteName());
  const url = URL.createObjectURL(photo);
  showWaiting(url);
  let answer;
  try {
    answer = await ask("POST", "/v1/recognise", form);
  } catch (error) {
    URL.revokeObjectURL(url);
    if (number === newest) element("answer").hidden = true;
    throw error;
  }
  const entries = menu ? menu.split("\n") : [];
  remember({ photo, url, site: siteName(), answer, entries, at: new Date(), stored: "" });
  if (number === newest) showAnswer(recent[0]);
}

function showWaiting(url) {
  element("answer").hidden = false;
  element("photo").src = url;
  element("verdict").textContent = word("working");
  element("verdict").classList.remove("absent");
  for (const id of ["presence", "name", "remark"]) element(id).textContent = "";
  element("bars").replaceChildren();
  clearTray();
  for (const id of ["wrong", "correction", "stored"]) element(id).hidden = true;
}

function showAnswer(shown) {
  current = shown;
  const { answer } = shown;
  element("answer").hidden = false;
  element("photo").src = shown.url;
  element("verdict").textContent = answer.tray ? summaryOf(answer.tray) : text(answer);
  element("verdict").classList.toggle("absent", isDoubtful(answer));
  clearTray();
  if (answer.tray) showTray(answer.tray);
  const presence = answer.choice?.on_menu ?? null;
  element("presence").textContent =
    presence === null ? "" : `${word("present")} ${percent(presence)}`;
  const named = answer.choice && answer.name;
  element("name").textContent = named ? `${word("named")}: ${answer.name}` : "";
  element("remark").textContent = answer.choice?.remark ?? trayRemark(answer.tray);
  element("bars").replaceChildren(...(answer.choice?.entries ?? []).map(bar));
  // A correction is of a photo of one dish.
  element("wrong").hidden = shown.stored !== "" || Boolean(answer.tray);
  element("correction").hidden = true;
  element("stored").hidden = shown.stored === "";
  element("stored").textContent = `${word("stored")} ${shown.stored}`;
}

function trayRemark(tray) {
  if (!tray) return "";
  if (!tray.dishes.length) return tray.review.join("; ");
  return tray.margin_is_proved ? "" : word("unproved");
}

function bar({ entry, probability }) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  name.className = "entry";
  name.textContent = entry;
  const share = document.createElement("span");
  share.className = "share";
  share.textContent = percent(probability);
  const length = document.createElement("progress");
  length.value = probability;
  length.setAttribute("aria-label", entry);
  row.append(name, share, length);
  return row;
}

// --- the last photos ---

function remember(shown) {
  recent.unshift(shown);
  for (const old of recent.splice(MOST_RECENT)) URL.revokeObjectURL(old.url);
  showRecent();
}

function showRecent() {
  element("recent").replaceChildren(...recent.map(recentRow));
}

function recentRow(shown) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  const picture = document.createElement("img");
  picture.src = shown.url;
  picture.alt = "";
  const said = document.createElement("span");
  said.textContent = shown.stored || text(shown.answer);
  said.classList.toggle("absent", !shown.stored && isDoubtful(shown.answer));
  const at = document.createElement("time");
  at.textContent = shown.at.toLocaleTimeString();
  button.append(picture, said, at);
  button.addEventListener("click", () => showAnswer(shown));
  row.append(button);
  return row;
}

// --- corrections ---

const rightDish = () => element("right").value.trim();

async function openCorrection() {
  const names = new Set(current.answer.choice?.entries.map((entry) => entry.name));
  for (const entry of await readEntries()) names.add(entry);
  element("entries").replaceChildren(...[...names].map((name) => new Option(name, name)));
  element("right").value = "";
  element("correction").hidden = false;
  element("wrong").hidden = true;
  askBeforeStoring();
  element("right").focus();
}

// The names of the site's saved menu; what is not saved has no names yet.
async function readEntries() {
  if (!current.site || isChanged() || !savedMenu) return [];
  const menu = await ask("GET", menuPath(current.site));
  return menu.entries.map((entry) => entry.name);
}

function askBeforeStoring() {
  element("store").disabled = !rightDish();
  element("question").textContent = rightDish() ? word("ask") + rightDish() : "";
}

async function storeCorrection() {
  const shown = current;
  const form = new FormData();
  form.append("photo", shown.photo);
  form.append("right_dish", rightDish());
  form.append("answer", shown.answer.choice?.answer ?? shown.answer.name ?? "");
  form.append("site", shown.site);
  const kept = await ask("POST", "/v1/corrections", form);
  shown.stored = kept.right_dish;
  showAnswer(shown);
  showRecent();
}

// --- whole trays, where the service has a detector ---

const isWhole = () => !element("trays").hidden && element("whole").checked;

async function offerTrays() {
  const { detector } = await ask("GET", "/v1/model");
  element("trays").hidden = !detector;
  element("whole").checked = localStorage.getItem(WHOLE) === "true";
}

// --- wiring ---

for (const id of ["camera", "file"]) {
  element(id).addEventListener("change", (event) => {
    const [photo] = event.target.files;
    attempt(() => recognise(photo));
    event.target.value = ""; // so that the same file can be chosen again
  });
}
element("whole").addEventListener("change", (event) => {
  localStorage.setItem(WHOLE, String(event.target.checked));
});
element("site").addEventListener("change", () => attempt(loadMenu));
element("menu").addEventListener("input", () => {
  menuTurn++;
  showMenuState();
});
element("save").addEventListener("click", () => attempt(saveMenu));
element("wrong").addEventListener("click", () => attempt(openCorrection));
element("right").addEventListener("input", askBeforeStoring);
element("store").addEventListener("click", () => attempt(storeCorrection));
element("cancel").addEventListener("click", () => showAnswer(current));
element("language").addEventListener("click", () => {
  change();
  showMenuState();
  if (current) showAnswer(current);
  showRecent();
});

show();
element("site").value = localStorage.getItem(SITE) ?? "";
showMenuState();
attempt(() => Promise.all([loadMenu(), offerTrays()]));
