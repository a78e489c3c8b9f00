// SPDX-License-Identifier: GPL-2.0-only
// The table of tests: which rows are shown, and in which order.
"use strict";

class TestTable {
  constructor(tests) {
    this.tests = tests;
    this.body = document.querySelector("#tests tbody");
    this.rows = [...this.body.rows];
    this.form = document.getElementById("filters");
    this.buttons = [...this.form.querySelectorAll("[data-verdict]")];
    this.searched = tests.map((test) => `${test.name}\n${test.reason}\n${test.summary}`.toLowerCase());
    this.order = tests.map((_, index) => index);
    this.sort = "";
    this.links = this.rows.map((row) => row.querySelector("a"));
    this.listen();
  }

  listen() {
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.toggle(button.dataset.verdict));
    }
    this.form.addEventListener("submit", (event) => event.preventDefault());
    const heed = (field, event, isStep) => field.addEventListener(event, () => {
      change({[field.name]: field.value}, {isStep});
    });
    heed(this.form.elements.text, "input", false);
    for (const field of this.form.querySelectorAll("select")) heed(field, "change", true);
    document.getElementById("clear").addEventListener("click", () => {
      change(Object.fromEntries(FILTERS.map((key) => [key, ""])), {isStep: true});
    });
    this.body.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (link && link.hash && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        change({test: new URLSearchParams(link.hash.slice(1)).get("test")}, {isStep: true});
      }
    });
  }

  toggle(verdict) {
    const chosen = new Set(split(state().get("verdict")));
    if (!chosen.delete(verdict)) chosen.add(verdict);
    change({verdict: [...chosen].join(",")}, {isStep: true});
  }

  // Applies the filters of the fragment.
  apply(wanted) {
    for (const field of this.form.elements) {
      if (field.name && field.value !== (wanted.get(field.name) || "")) {
        field.value = wanted.get(field.name) || "";
      }
    }
    const verdicts = split(wanted.get("verdict"));
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(verdicts.includes(button.dataset.verdict)));
    }
    const words = (wanted.get("text") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const keys = ["driver", "device", "claim", "kind"].filter((key) => wanted.get(key));
    this.reorder(wanted.get("sort") || "");
    this.shown = this.order.filter((index) => {
      const test = this.tests[index];
      return (!verdicts.length || verdicts.includes(test.verdict))
        && keys.every((key) => (test[key] || "none") === wanted.get(key))
        && words.every((word) => this.searched[index].includes(word));
    });
    const shown = new Set(this.shown);
    this.rows.forEach((row, index) => {
      if (row.hidden === shown.has(index)) row.hidden = !row.hidden;
    });
    const all = this.tests.length;
    document.getElementById("shown").textContent = this.shown.length === all
      ? plural(all, "test") : `${this.shown.length.toLocaleString("en")} of ${plural(all, "test")}`;
    document.getElementById("clear").hidden = !FILTERS.some((key) => wanted.get(key));
  }

  reorder(sort) {
    if (sort === this.sort) return;
    this.sort = sort;
    const by = {
      name: (a, b) => (this.tests[a].name < this.tests[b].name ? -1 : 1),
      time: (a, b) => this.tests[a].time - this.tests[b].time,
      duration: (a, b) => this.tests[b].duration - this.tests[a].duration,
    }[sort];
    this.order = this.tests.map((_, index) => index);
    if (by) this.order.sort(by);
    this.body.append(...this.order.map((index) => this.rows[index]));
  }
}

function split(list) {
  return (list || "").split(",").filter(Boolean);
}
