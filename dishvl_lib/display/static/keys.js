// Keys of the browser in JupyterLab: ipywidgets has none. On the window and before everybody else,
// because in command mode JupyterLab itself takes 1, 2, 3 and 4 and would turn the cell into a heading.
if (!window.dishvlKeys) {
  window.dishvlKeys = true;
  const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};
  const marks = ["1", "2", "3", "4"];

  const focus = (element) => {
    if (element.matches(".dishvl-marks")) element.tabIndex = -1;
    element.focus();
  };

  // A decision may bring the next card: the keys go on with that one, as soon as Python shows it.
  const follow = (browser, card, tries) => {
    const next = card.isConnected ? null : browser.querySelector(".dishvl-marks");
    if (next) focus(next);
    else if (tries) setTimeout(() => follow(browser, card, tries - 1), 100);
  };

  const press = (event) => {
    const at = document.activeElement;
    const browser = at && at.closest(".dishvl-browser");
    if (!browser || event.ctrlKey || event.altKey || event.metaKey) return;
    if (at.matches("input, textarea, select")) return;
    const card = at.closest(".dishvl-marks");
    const buttons = card ? card.querySelectorAll("button.jupyter-button") : [];
    const mark = buttons[marks.indexOf(event.key)];
    if (!mark && !(event.key in steps)) return;
    const stops = [...browser.querySelectorAll("button:enabled, .dishvl-marks")]
      .filter((element) => element.offsetParent);
    const next = stops[stops.indexOf(at) + steps[event.key]];
    if (mark && !event.repeat) {
      mark.click();
      follow(browser, card, 30);
    }
    if (next) focus(next);
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  // What is HTML cannot call Python: what was pressed reaches it through a hidden text field.
  const tell = (field, text) => {
    field.value = text;
    field.dispatchEvent(new Event("change", {bubbles: true}));
  };
  const choose = (count) => {
    const field = count.closest(".dishvl-browser").querySelector(".dishvl-pressed input");
    tell(field, `${count.dataset.cluster} ${count.dataset.answered}`);
  };

  window.addEventListener("keydown", press, true);
  window.addEventListener("click", (event) => {
    const count = event.target.closest(".dishvl-browser .matrix button");
    if (count) choose(count);
    const photo = event.target.closest(".dishvl-pair .cell img");
    if (photo) photo.closest(".dishvl-pair").querySelector("button.jupyter-button").click();
    const near = event.target.closest(".dishvl-marks .near button");
    if (near) tell(near.closest(".dishvl-marks").querySelector(".dishvl-chosen input"), near.dataset.dish);
    const card = event.target.closest(".dishvl-marks");
    if (card && !event.target.closest("button, input, select")) focus(card);
  }, true);
}
