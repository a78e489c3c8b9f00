// SPDX-License-Identifier: GPL-2.0-only
// The page: an overview, or one test, as the fragment says.
"use strict";

const RUN = JSON.parse(document.getElementById("data").textContent);
const TITLE = document.title;
const overview = document.getElementById("overview");
const page = document.getElementById("test");
const tests = new TestTable(RUN.tests);
const byName = new Map(RUN.tests.map((test, index) => [test.name, index]));
let logs = null;
let left = null; // where the overview was scrolled to, and the test that it was left for

function logOf(index) {
  logs = logs || JSON.parse(document.getElementById("logs").textContent);
  return logs[index];
}

function show() {
  const wanted = state();
  const name = wanted.get("test");
  tests.apply(wanted);
  if (name === null) showOverview();
  else showTest(name);
}

function showOverview() {
  const isBack = overview.hidden;
  overview.hidden = false;
  page.hidden = true;
  page.replaceChildren();
  document.title = TITLE;
  if (isBack && left) {
    scrollTo(0, left.scroll);
    if (byName.has(left.name)) tests.links[byName.get(left.name)].focus({preventScroll: true});
  }
  left = null;
}

function showTest(name) {
  if (!overview.hidden) left = {scroll: scrollY, name};
  if (left) left.name = name;
  overview.hidden = true;
  page.hidden = false;
  document.title = `${name} - Carryover`;
  const index = byName.get(name);
  page.replaceChildren(...(index === undefined ? unknownTest(name) : testPage(index)));
  page.focus({preventScroll: true});
  scrollTo(0, 0);
}

const timeline = document.getElementById("timeline");
if (timeline) timeline.append(timelineOf(RUN.lanes, "kexecs"));
// A link of a tally asks for its tests: they come into view.
document.addEventListener("click", (event) => {
  if (event.target.closest("#tally a, #matrix a")) {
    setTimeout(() => document.getElementById("h-tests").scrollIntoView());
  }
});
addEventListener("hashchange", show);
if ("scrollRestoration" in history) history.scrollRestoration = "manual";
show();
document.documentElement.dataset.ready = "yes";
