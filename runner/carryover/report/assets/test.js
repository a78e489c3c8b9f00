// SPDX-License-Identifier: GPL-2.0-only
// The page of one test.
"use strict";

function testPage(index) {
  const test = RUN.tests[index];
  return [
    neighbours(index),
    el("h1", {class: "name"}, el("span", {class: `verdict ${test.verdict}`}, test.verdict), " ",
      el("span", null, test.name.split(/(?<=[./])/).flatMap((part) => [part, el("wbr")]))),
    test.summary ? el("p", {class: "summary"}, test.summary) : null,
    test.reason ? el("p", {class: "reason"}, test.reason) : null,
    facts(test),
    halves(test),
    test.failures.length ? section("Failures", el("ol", {class: "failures"}, test.failures.map(failure))) : null,
    test.faults.length ? section("Kernel faults in it", el("ul", null, test.faults.map(
      (text) => el("li", null, el("code", null, text))))) : null,
    (test.damage || []).length ? section("Memory that differs", test.damage.map(
      (memory) => new DamageFigure(memory).element)) : null,
    figures(test),
    boots(test),
    test.lanes.length ? section("Timeline of its kexecs",
      timelineOf(test.lanes.map((lane) => RUN.lanes[lane]), "of them")) : null,
    log(test, logOf(index)),
  ].filter(Boolean);
}

function unknownTest(name) {
  return [
    el("nav", null, el("a", {href: fragment({test: ""})}, "All tests")),
    el("h1", {class: "name"}, "No such test"),
    el("p", null, "This run has no result of ", el("code", null, name), "."),
  ];
}

// The way back, and to the tests before and after it among those that are shown.
function neighbours(index) {
  const at = tests.shown.indexOf(index);
  const to = (offset, text) => {
    const other = at < 0 ? undefined : tests.shown[at + offset];
    return other === undefined ? null : el("a", {
      href: fragment({test: RUN.tests[other].name}), title: RUN.tests[other].name}, text);
  };
  const shown = tests.shown.length === RUN.tests.length ? "All tests" : `The ${plural(tests.shown.length, "test")} shown`;
  return el("nav", {class: "neighbours", "aria-label": "Tests"},
    el("a", {href: fragment({test: ""}), id: "back"}, shown),
    to(-1, "Previous"), to(1, "Next"),
    el("a", {href: fragment({test: RUN.tests[index].name}, new URLSearchParams()), id: "link"}, "Link to this test"));
}

function facts(test) {
  const pairs = [
    ["driver", test.driver], ["device", test.device], ["claim", test.claim], ["kind", test.kind],
    ["took", duration(test.duration || 0)],
    ["source", test.file ? `${test.file}:${test.line}` : null],
    ["ended", new Date(test.time * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC"],
  ];
  return el("dl", {class: "facts"}, pairs.filter(([, value]) => value).map(
    ([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}

const HALVES = {
  run: "run", arm: "arm, in the outgoing kernel", verify: "verify, in the incoming kernel",
  carry: "carry, armed again for the next kexec",
};

function halves(test) {
  if (!test.halves.length) return section("Halves", el("p", null, "None of its halves came to an end."));
  return section("Halves", scrolled("Halves", table(["half", "result", "took", "kexecs before"],
    test.halves.map((half) => [HALVES[half.half] || half.half,
      el("span", {class: `result ${half.result}`}, half.result), duration(half.duration), String(half.generation)]),
    {class: "halves"})));
}

// "file:line: message", of which the first line says most.
function failure(text) {
  const parts = /^([^\s:][^:\n]*:\d+): ([^]*)$/.exec(text);
  if (!parts) return el("li", null, el("pre", null, text));
  return el("li", null, el("code", {class: "where"}, parts[1]), el("pre", null, parts[2]));
}

function figures(test) {
  const notes = Object.entries(test.notes || {});
  if (!notes.length) return null;
  return section("Figures", el("dl", {class: "facts"}, notes.map(([name, value]) => [
    el("dt", null, name), el("dd", null, typeof value === "string" ? value : JSON.stringify(value))])));
}

function boots(test) {
  const told = (value) => (value === null ? "none" : String(value));
  if (!test.boots.length) return section("Kernels and boots", el("p", null, "None: it ran on no boot."));
  return section("Kernels and boots", scrolled("Kernels and boots", table(
    ["boot", "kernel", "boot id", "KHO count", "LUO number", "nonce", "command line"],
    test.boots.map((index) => {
      const boot = RUN.boots[index];
      return [boot.kexec ? `kexec ${boot.kexec}` : "cold boot", boot.kernel, el("code", null, boot.boot_id),
        told(boot.kho_count), told(boot.luo_number), el("code", null, boot.nonce || "none"),
        el("code", {class: "long"}, boot.cmdline)];
    }), {class: "boots"})));
}

function log(test, excerpt) {
  if (!excerpt) return section("Log", el("p", null, "This test left none."));
  const where = el("p", null, "All of it: ", el("code", null, test.log), `, ${bytes(excerpt.size)}`);
  if (!excerpt.left_out) return section("Log", where, pre("Log", excerpt.head));
  return section("Log", where, pre("Log, its beginning", excerpt.head),
    el("p", {class: "left-out"}, `${bytes(excerpt.left_out)} are left out here`),
    pre("Log, its end", excerpt.tail));
}

function pre(label, text) {
  return el("pre", {tabindex: 0, role: "region", "aria-label": label, class: "log"}, text);
}
