// SPDX-License-Identifier: GPL-2.0-only
// Kexecs and cold boots as lanes of one scale, each segment from one mark to the next.
"use strict";

const LANES_AT_FIRST = 8;
const OWNERS = {
  firmware: "firmware",
  outgoing: "outgoing kernel",
  freeze: "freeze, until its last message",
  silence: "no kernel speaks",
  incoming: "kernel comes up",
  runner: "runner",
  tests: "tests",
};

// The timeline of some lanes, with what is common to them: the scale, a legend, a table of phases.
function timelineOf(lanes, what) {
  const longest = Math.max(...lanes.map((lane) => lane.length), 1e-6);
  const list = el("ol", {class: "lanes"});
  const add = (some) => list.append(...some.map((lane) => laneItem(lane, longest)));
  add(lanes.slice(0, LANES_AT_FIRST));
  const parts = [legend(lanes), list];
  if (lanes.length > LANES_AT_FIRST) {
    parts.push(el("button", {
      type: "button",
      onclick: (event) => {
        event.target.remove();
        add(lanes.slice(LANES_AT_FIRST));
      },
    }, `Show all ${lanes.length}`));
  }
  if (lanes.length > 1) {
    parts.push(el("details", null, el("summary", null, `Phases of all ${what}, and the slowest`),
      phaseTable(lanes)));
  }
  return el("div", {class: "timeline"}, parts);
}

function laneName(lane) {
  const cycles = RUN.lanes.some((other) => other.cycle !== 1);
  const name = lane.kexec ? `kexec ${lane.kexec}` : "cold boot";
  return cycles ? `cycle ${lane.cycle}, ${name}` : name;
}

function legend(lanes) {
  const there = new Set(lanes.flatMap((lane) => lane.segments.map((segment) => segment.whose)));
  return el("ul", {class: "legend"}, Object.keys(OWNERS).filter((whose) => there.has(whose)).map(
    (whose) => el("li", null, el("i", {class: `swatch t-${whose}`}), OWNERS[whose])));
}

function laneItem(lane, longest) {
  const drawing = svg("svg", {
    role: "img",
    height: 22,
    "aria-label": `${laneName(lane)}: ` + lane.segments.map(
      (segment) => `${segment.phase} ${duration(segment.length)}`).join(", "),
  });
  const marks = el("div", {class: "marks", hidden: true});
  const button = el("button", {
    type: "button",
    class: "lane",
    "aria-expanded": "false",
    onclick: () => {
      if (!marks.hasChildNodes()) marks.append(marksOf(lane));
      marks.hidden = !marks.hidden;
      button.setAttribute("aria-expanded", String(!marks.hidden));
    },
  }, el("b", null, laneName(lane)), ` ${duration(lane.length)}`,
  ended(lane) ? null : el("em", null, ` ended after: ${lane.last[0]}`));
  let width = 0;
  new ResizeObserver(() => {
    const now = drawing.parentNode ? drawing.parentNode.clientWidth : 0;
    if (now && now !== width) drawLane(drawing, lane, width = now, now / longest);
  }).observe(drawing);
  drawing.addEventListener("click", () => button.click());
  return el("li", null, button, drawing, marks);
}

// Whether the kernel came up, and all that was armed was looked at.
function ended(lane) {
  return ["verified", "ready"].includes(lane.last[0]) || !lane.kexec;
}

function drawLane(drawing, lane, width, perSecond) {
  drawing.setAttribute("width", width);
  drawing.setAttribute("viewBox", `0 0 ${width} 22`);
  drawing.replaceChildren(...lane.segments.map((segment) => {
    const x = segment.start * perSecond;
    const wide = Math.max(segment.length * perSecond, 1);
    const group = svg("g", {class: `segment t-${segment.whose}`},
      svg("title", null, `${segment.phase}: ${duration(segment.length)} (${segment.begin} to ${segment.end})`),
      svg("rect", {x, y: 0, width: Math.max(wide - (wide > 4 ? 1 : 0), 1), height: 22}));
    const label = [`${segment.phase} ${duration(segment.length)}`, segment.phase]
      .find((text) => text.length * 6.6 + 8 < wide);
    if (label) group.append(svg("text", {x: x + 4, y: 15}, label));
    return group;
  }));
}

function marksOf(lane) {
  const rows = lane.segments.map((segment) => [
    segment.phase, duration(segment.length), `+${segment.start.toFixed(3)} s`,
    `${segment.begin} to ${segment.end}`, el("code", null, segment.text)]);
  rows.push(["", "", `+${lane.length.toFixed(3)} s`, lane.last[0], el("code", null, lane.last[1])]);
  return scrolled(laneName(lane), table(["phase", "took", "at", "marks", "console"], rows));
}

function phaseTable(lanes) {
  const phases = new Map();
  for (const lane of lanes) {
    for (const segment of lane.segments) {
      const found = phases.get(segment.phase) || [];
      found.push([segment.length, lane]);
      phases.set(segment.phase, found);
    }
  }
  const rows = [...phases].map(([phase, found]) => {
    found.sort((a, b) => a[0] - b[0]);
    const slowest = found[found.length - 1];
    return [phase, String(found.length), duration(found[0][0]),
      duration(found[Math.floor(found.length / 2)][0]), `${duration(slowest[0])}, ${laneName(slowest[1])}`];
  });
  return scrolled("Phases", table(["phase", "times", "fastest", "median", "slowest"], rows));
}
