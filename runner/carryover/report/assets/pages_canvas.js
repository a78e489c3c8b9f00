// SPDX-License-Identifier: GPL-2.0-only
// The canvas on which memory is drawn: a cell a page, row by row. Where it looks, and what moves it.
"use strict";

// fixtures/pattern/check_report.h: the name of its colour, and a letter beside that.
const DAMAGES = {
  "zeroed": ["zeroed", "Z"],
  "stale generation": ["stale", "S"],
  "another page's content": ["other", "A"],
  "poison": ["poison", "P"],
  "bit flip": ["flip", "B"],
  "foreign": ["foreign", "F"],
};
const LARGEST_CELL = 40;
const LETTERS_FROM = 14;
const GRID_FROM = 6;
const LEAST = 2; // pixels that are drawn of damage, however small a page is

function damageStyle(damage) {
  return DAMAGES[damage] || ["foreign", "?"];
}

class PagesCanvas {
  // `runs` of damaged pages in order: first page, how many, class. Behind `known` nothing is known.
  // `drawn(page)` is called when the picture has changed, with the page that is pointed at.
  constructor({label, pages, known, runs, drawn}) {
    Object.assign(this, {pages, known, runs, drawn});
    this.at = runs.length ? runs[0][0] : 0;
    this.pointers = new Map();
    this.element = el("canvas", {tabindex: 0, role: "application", "aria-label": label});
    this.listen();
  }

  get canZoomIn() {
    return this.cell < Math.max(LARGEST_CELL, this.fitted);
  }

  get canZoomOut() {
    return this.cell > this.fitted;
  }

  resize() {
    const width = this.element.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    // A power of two, for which some 300 pixels of height are enough.
    this.columns = Math.max(2 ** Math.ceil(Math.log2(width / 28)),
      2 ** Math.round(Math.log2(Math.sqrt(this.pages * width / 300))));
    this.rows = Math.ceil(this.pages / this.columns);
    this.fitted = Math.min(28, width / Math.min(this.columns, this.pages));
    this.height = Math.min(Math.max(Math.ceil(this.rows * this.fitted), 28), 420);
    this.element.style.height = `${this.height}px`;
    this.fit();
  }

  fit() {
    this.cell = this.fitted;
    this.x = this.y = 0;
    this.draw();
  }

  clamp() {
    const wide = Math.min(this.columns, this.pages) * this.cell;
    const high = this.rows * this.cell;
    this.x = Math.min(Math.max(0, this.x), Math.max(0, wide - this.width));
    this.y = Math.min(Math.max(0, this.y), Math.max(0, high - this.height));
  }

  // By a factor, about a place of the canvas.
  zoom(factor, [x, y] = this.focus()) {
    const cell = Math.min(Math.max(this.cell * factor, this.fitted), Math.max(LARGEST_CELL, this.fitted));
    const grown = cell / this.cell;
    this.x = (this.x + x) * grown - x;
    this.y = (this.y + y) * grown - y;
    this.cell = cell;
    this.draw();
  }

  center(index) {
    return (index + 0.5) * this.cell;
  }

  // The page that the cursor is on if it is in view, else the middle.
  focus() {
    const [x, y] = this.placeOf(this.at);
    const inView = x >= 0 && x <= this.width && y >= 0 && y <= this.height;
    return inView ? [x, y] : [this.width / 2, this.height / 2];
  }

  pageAt(x, y) {
    if (this.cell < LEAST) {
      // Pages are smaller than what is drawn of them.
      const near = this.runs.find(([first]) => {
        const place = this.placeOf(first);
        return Math.abs(place[0] - x) <= LEAST && Math.abs(place[1] - y) <= LEAST;
      });
      if (near) return near[0];
    }
    const column = Math.floor((x + this.x) / this.cell);
    const page = Math.floor((y + this.y) / this.cell) * this.columns + column;
    return column >= 0 && column < this.columns && page >= 0 && page < this.pages ? page : null;
  }

  // Where a page is on the canvas (its middle).
  placeOf(page) {
    return [this.center(page % this.columns) - this.x, this.center(Math.floor(page / this.columns)) - this.y];
  }

  go(page) {
    this.at = Math.min(Math.max(0, page), this.pages - 1);
    const [x, y] = this.placeOf(this.at);
    const half = this.cell / 2;
    if (x - half < 0 || x + half > this.width) this.x += x - this.width / 2;
    if (y - half < 0 || y + half > this.height) this.y += y - this.height / 2;
    this.draw();
  }

  step(direction) {
    if (!this.runs.length) return;
    const there = this.runAt(this.at);
    let next;
    if (direction > 0) next = this.runs.findIndex((run) => run[0] > this.at);
    else next = this.runs.findLastIndex((run) => run[0] < (there ? there[0] : this.at));
    if (next < 0) next = direction > 0 ? 0 : this.runs.length - 1;
    if (this.cell < LETTERS_FROM) {
      this.at = this.runs[next][0];
      this.zoom(20 / this.cell);
    }
    this.go(this.runs[next][0]);
  }

  runAt(page) {
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.runs[middle][0] <= page) low = middle + 1;
      else high = middle;
    }
    const run = this.runs[low - 1];
    return run && page < run[0] + run[1] ? run : null;
  }

  draw(shown = this.at) {
    if (!this.width) return;
    this.clamp();
    const ratio = devicePixelRatio || 1;
    this.element.width = Math.round(this.width * ratio);
    this.element.height = Math.round(this.height * ratio);
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(`--d-${name}`).trim();
    const context = this.context = this.element.getContext("2d");
    context.scale(ratio, ratio);
    context.translate(-this.x, -this.y);
    this.rectangles(0, this.known, colour("intact"));
    this.rectangles(this.known, this.pages - this.known, colour("unknown"));
    for (const [first, pages, damage] of this.runs) {
      this.rectangles(first, pages, colour(damageStyle(damage)[0]), LEAST);
    }
    if (this.cell >= GRID_FROM) this.grid(colour("paper"));
    if (this.cell >= LETTERS_FROM) this.letters(colour("ink"));
    this.outline(shown, style.color);
    this.element.dataset.zoom = (this.cell / this.fitted).toFixed(2);
    this.element.style.touchAction = this.cell > this.fitted ? "none" : "pan-y";
    this.drawn(shown);
  }

  // Pages as at most three rectangles: a first row, whole rows, a last one; `least` pixels wide.
  rectangles(first, pages, colour, least = 0) {
    this.context.fillStyle = colour;
    const end = first + pages;
    for (let page = first; page < end;) {
      const column = page % this.columns;
      const whole = column ? 0 : Math.floor((end - page) / this.columns);
      const count = whole ? whole * this.columns : Math.min(this.columns - column, end - page);
      this.context.fillRect(column * this.cell, Math.floor(page / this.columns) * this.cell,
        Math.max((whole ? this.columns : count) * this.cell, least), Math.max((whole || 1) * this.cell, least));
      page += count;
    }
  }

  visibleRows() {
    return [Math.floor(this.y / this.cell), Math.min(this.rows, Math.ceil((this.y + this.height) / this.cell))];
  }

  grid(colour) {
    const [top, bottom] = this.visibleRows();
    const left = Math.floor(this.x / this.cell);
    const right = Math.min(this.columns, Math.ceil((this.x + this.width) / this.cell));
    this.context.fillStyle = colour;
    for (let row = top; row <= bottom; row++) this.context.fillRect(this.x, row * this.cell - 0.5, this.width, 1);
    for (let column = left; column <= right; column++) this.context.fillRect(column * this.cell - 0.5, this.y, 1, this.height);
  }

  letters(colour) {
    const [top, bottom] = this.visibleRows();
    this.context.fillStyle = colour;
    this.context.font = `600 ${Math.round(this.cell * 0.55)}px system-ui, sans-serif`;
    this.context.textAlign = "center";
    this.context.textBaseline = "middle";
    for (let row = top; row < bottom; row++) {
      const left = Math.max(0, Math.floor(this.x / this.cell));
      const right = Math.min(this.columns, Math.ceil((this.x + this.width) / this.cell));
      for (let column = left; column < right; column++) {
        const run = this.runAt(row * this.columns + column);
        if (run) this.context.fillText(damageStyle(run[2])[1], this.center(column), this.center(row));
      }
    }
  }

  outline(page, colour) {
    const size = Math.max(this.cell, 2 * LEAST + 4); // around it, and not over it
    this.context.strokeStyle = colour;
    this.context.lineWidth = 2;
    const [x, y] = [this.center(page % this.columns), this.center(Math.floor(page / this.columns))];
    this.context.strokeRect(x - size / 2, y - size / 2, size, size);
  }

  listen() {
    new ResizeObserver(() => this.resize()).observe(this.element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    const on = (name, action, options) => this.element.addEventListener(name, action, options);
    on("keydown", (event) => this.key(event));
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      on(name, (event) => {
        this.pointers.delete(event.pointerId);
        if (name === "pointerleave") this.draw();
      });
    }
    on("dblclick", (event) => this.zoom(2, [event.offsetX, event.offsetY]));
    // The wheel is the page's, until one has turned to the picture.
    on("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== this.element) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.25 : 0.8, [event.offsetX, event.offsetY]);
    }, {passive: false});
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const actions = {
      ArrowLeft: () => this.go(this.at - 1),
      ArrowRight: () => this.go(this.at + 1),
      ArrowUp: () => this.go(this.at - this.columns),
      ArrowDown: () => this.go(this.at + this.columns),
      Home: () => this.go(0),
      End: () => this.go(this.pages - 1),
      "+": () => this.zoom(2),
      "=": () => this.zoom(2),
      "-": () => this.zoom(0.5),
      0: () => this.fit(),
      n: () => this.step(1),
      p: () => this.step(-1),
    };
    const action = actions[event.key] || actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  down(event) {
    this.element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    const page = this.pageAt(event.offsetX, event.offsetY);
    if (page !== null && this.pointers.size === 1) {
      this.at = page;
      this.draw();
    }
  }

  // One pointer pans, two zoom; a mouse without a button shows what it is over.
  move(event) {
    const before = this.pointers.get(event.pointerId);
    const now = [event.offsetX, event.offsetY];
    if (!before) {
      const page = this.pageAt(...now);
      if (event.pointerType === "mouse" && page !== null) this.draw(page);
      return;
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (other) {
      const distance = (point) => Math.hypot(point[0] - other[1][0], point[1] - other[1][1]) || 1;
      this.zoom(distance(now) / distance(before), [(now[0] + other[1][0]) / 2, (now[1] + other[1][1]) / 2]);
    } else {
      this.x -= now[0] - before[0];
      this.y -= now[1] - before[1];
      this.draw();
    }
  }
}
