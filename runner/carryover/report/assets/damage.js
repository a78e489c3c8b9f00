// SPDX-License-Identifier: GPL-2.0-only
// Memory that differs: a picture of its pages, a legend, and the same in words.
"use strict";

const LISTED_RUNS = 200;

class DamageFigure {
  constructor(memory) {
    this.memory = memory;
    this.page = memory.page || 4096;
    const pages = Math.max(1, Math.ceil(memory.checked / this.page));
    this.runs = memory.map.length
      ? memory.map.map(([first, count, number]) => [first, count, memory.classes[number]])
      : this.runsOfExtents();
    const last = this.runs[this.runs.length - 1];
    const known = memory.map_cut && last ? last[0] + last[1] : pages;
    this.label = el("output", {class: "page-label"});
    this.scale = el("p", {class: "scale"});
    this.picture = new PagesCanvas({
      label: `Pages of ${memory.what}. Arrow keys go from page to page, plus and minus zoom, N and P go to the next and the previous damage.`,
      pages, known, runs: this.runs, drawn: (page) => this.drawn(page)});
    this.tools = this.buttons();
    this.element = el("figure", {class: "damage"}, this.caption(), this.legend(),
      el("div", {class: "tools", role: "group", "aria-label": "View of the picture"}, Object.values(this.tools)),
      this.picture.element, this.label, this.scale, this.extents(), this.damagedPages());
  }

  runsOfExtents() {
    return this.memory.extents.map((extent) => {
      const first = Math.floor(extent.offset / this.page);
      return [first, Math.ceil((extent.offset + extent.length) / this.page) - first, extent.damage];
    });
  }

  buttons() {
    const button = (text, title, onclick) => el("button", {type: "button", title, "aria-label": title, onclick}, text);
    const picture = this.picture;
    return {
      in: button("+", "Zoom in", () => picture.zoom(2)),
      out: button("\u2212", "Zoom out", () => picture.zoom(0.5)),
      whole: button("Whole", "Show the whole memory", () => picture.fit()),
      previous: button("Previous damage", "Go to the previous damaged pages", () => picture.step(-1)),
      next: button("Next damage", "Go to the next damaged pages", () => picture.step(1)),
    };
  }

  caption() {
    const memory = this.memory;
    const bad = Object.values(memory.damaged).reduce((sum, count) => sum + count, 0);
    return el("figcaption", null, el("b", null, memory.what),
      ` ${plural(bad, "byte")} of ${bytes(memory.checked)} differ, in ${plural(memory.extent_count, "extent")}`);
  }

  legend() {
    const item = (name, letter, text) => el("li", null, el("i", {class: `swatch d-${name}`}, letter), text);
    const items = Object.entries(this.memory.damaged).map(
      ([damage, count]) => item(...damageStyle(damage), `${damage}: ${plural(count, "byte")}`));
    items.push(item("intact", "", "as it was"));
    if (this.picture.known < this.picture.pages) items.push(item("unknown", "?", "not told: the map is cut"));
    return el("ul", {class: "legend"}, items);
  }

  extents() {
    const {extents, extent_count: all} = this.memory;
    if (!extents.length) return null;
    const rows = extents.map((extent) => [hex(extent.offset), plural(extent.length, "byte"), extent.damage,
      extent.detail || "", extent.iova, extent.physical]);
    return this.listed(extents.length, all, "extent", ["offset", "length", "damage", "detail", "IOVA", "physical"], rows);
  }

  damagedPages() {
    const rows = this.runs.slice(0, LISTED_RUNS).map(([first, pages, damage]) => [
      el("button", {type: "button", class: "plain", onclick: () => this.picture.go(first)},
        pages > 1 ? `${first} to ${first + pages - 1}` : String(first)),
      String(pages), damage]);
    return this.listed(rows.length, this.runs.length, "run", ["pages", "count", "damage"], rows);
  }

  listed(shown, all, what, head, rows) {
    const names = {extent: plural(all, "extent"), run: `${plural(all, "run")} of damaged pages`};
    const text = shown < all ? `The first ${shown} of ${names[what]}` : names[what];
    return el("details", null, el("summary", null, text), scrolled(text, table(head, rows)));
  }

  drawn(page) {
    const picture = this.picture;
    this.tools.in.disabled = !picture.canZoomIn;
    this.tools.out.disabled = this.tools.whole.disabled = !picture.canZoomOut;
    this.label.textContent = this.describe(page);
    this.scale.textContent = picture.rows > 1
      ? `A row is ${plural(picture.columns, "page")}, ${bytes(picture.columns * this.page)}.`
      : `A cell is a page, ${bytes(this.page)}.`;
  }

  describe(page) {
    const run = this.picture.runAt(page);
    const offset = page * this.page;
    let damage = page < this.picture.known ? "as it was" : "not told: the map is cut";
    if (run) damage = run[2];
    const details = this.memory.extents
      .filter((extent) => extent.offset < offset + this.page && extent.offset + extent.length > offset)
      .map((extent) => [
        `${extent.damage} from ${hex(extent.offset)} on, ${plural(extent.length, "byte")}`,
        extent.detail,
        extent.iova && `IOVA ${extent.iova}`,
        extent.physical && `physical ${extent.physical}`,
      ].filter(Boolean).join(", "));
    return [`Page ${page.toLocaleString("en")}, offset ${hex(offset)}: ${damage}`, ...details].join(". ");
  }
}
