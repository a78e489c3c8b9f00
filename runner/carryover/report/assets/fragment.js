// SPDX-License-Identifier: GPL-2.0-only
// The state of the page is its URL's fragment: what is filtered, and which test is looked at.
"use strict";

const FILTERS = ["verdict", "text", "driver", "device", "claim", "kind", "sort"];

function state() {
  return new URLSearchParams(location.hash.slice(1));
}

// The fragment of this state, with changes; an empty value leaves a key out.
function fragment(changes, from = state()) {
  const next = new URLSearchParams();
  for (const key of [...FILTERS, "test"]) {
    const value = key in changes ? changes[key] : from.get(key);
    if (value) next.set(key, value);
  }
  return `#${String(next).replace(/%(2C|2F|3A)/g, decodeURIComponent)}`;
}

// A text that is being typed is no step to go back to; a choice is.
function change(changes, {isStep}) {
  const next = fragment(changes);
  if (next === (location.hash || "#")) return;
  if (isStep) history.pushState(null, "", next);
  else history.replaceState(null, "", next);
  show();
}
