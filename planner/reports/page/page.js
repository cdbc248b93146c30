"use strict";
(() => {
  const byId = (name) => document.getElementById(name);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const redraws = [];
  const redraw = () => redraws.forEach((draw) => draw());

  // Light or dark: as the reader's system has it until the button says otherwise.
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    redraw();
  });
  dark.addEventListener("change", redraw);

  // Paper is light, shows the first rows, and every picture as a whole.
  const beforePrinting = [];
  let themeBefore;
  addEventListener("beforeprint", () => {
    themeBefore = root.dataset.theme;
    root.dataset.theme = "light";
    beforePrinting.forEach((prepare) => prepare());
    redraw();
  });
  addEventListener("afterprint", () => {
    if (themeBefore) root.dataset.theme = themeBefore;
    else delete root.dataset.theme;
    redraw();
  });

  // The ranking: sorted by a column, filtered by words, one stop of the Tab key.
  const table = byId("ranking");
  const rows = table ? all("tbody tr", table) : [];
  const body = table && table.tBodies[0];
  const heads = table ? all("thead th", table) : [];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const sortBy = (column) => {
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      const found = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return (up ? found : -found) || value(one, 0) - value(other, 0);
    };
    body.append(...[...rows].sort(order));
  };
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));

  const filter = byId("filter");
  const withoutTight = byId("without-tight");
  const show = () => {
    const words = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const has = row.dataset.words.toLowerCase().split(/[\s,]+/);
      const fits = words.every((word) => has.some((one) => one === word || (!/\d$/.test(word) && one.startsWith(word))));
      const shown = row.dataset.plan === "mine" || (fits && !(withoutTight.checked && row.dataset.tight === "true"));
      row.hidden = !shown;
      count += shown;
    }
    byId("shown").textContent = `${count} of ${rows.length} plans`;
  };
  if (filter) {
    filter.addEventListener("input", show);
    withoutTight.addEventListener("change", show);
  }

  let chosen = "1";
  const onChoice = [];
  const choose = (row) => {
    chosen = row.dataset.plan;
    rows.forEach((one) => {
      one.tabIndex = one === row ? 0 : -1;
      one.classList.toggle("chosen", one === row);
      if (one === row) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    });
    onChoice.forEach((react) => react(chosen));
  };
  rows.forEach((row) => row.addEventListener("click", () => choose(row)));
  if (body) body.addEventListener("keydown", (event) => {
    const shown = [...body.rows].filter((row) => !row.hidden);
    const at = shown.indexOf(event.target.closest("tr"));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined || !shown[to]) return;
    event.preventDefault();
    choose(shown[to]);
    shown[to].focus();
  });

  // Copying a launch text; where the browser forbids that, it is at least selected.
  all("button[data-copies]").forEach((button) => button.addEventListener("click", async () => {
    const text = byId(button.dataset.copies);
    const done = (said) => {
      button.textContent = said;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    };
    try {
      await navigator.clipboard.writeText(text.textContent);
      done("Copied");
    } catch {
      getSelection().selectAllChildren(text);
      done("Selected");
    }
  }));
})();
