// SPDX-License-Identifier: GPL-2.0-only
// Elements, and numbers for people. Texts only ever become text nodes: nothing of a run is markup.
"use strict";

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

function table(head, rows, attributes) {
  return el("table", attributes,
    el("thead", null, el("tr", null, head.map((text) => el("th", {scope: "col"}, text)))),
    el("tbody", null, rows.map((cells) => el("tr", null, cells.map((cell) => el("td", null, cell))))));
}

function scrolled(label, child) {
  return el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": label}, child);
}

function section(title, ...children) {
  return el("section", null, el("h3", null, title), children);
}

function digits(value) {
  return Number(value.toPrecision(3)).toString();
}

function duration(seconds) {
  if (seconds < 1) return `${seconds < 0.0995 ? digits(seconds * 1000) : Math.round(seconds * 1000)} ms`;
  return seconds < 100 ? `${digits(seconds)} s` : `${(seconds / 60).toFixed(1)} min`;
}

function bytes(count) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (count >= size) return `${digits(count / size)} ${unit}`;
  }
  return plural(count, "byte");
}

function plural(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

function hex(value) {
  return `0x${value.toString(16)}`;
}
