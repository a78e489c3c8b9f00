// SPDX-License-Identifier: GPL-2.0-only
// The texts that are shown with less contrast than WCAG 2 asks for (1.4.3): 4.5 to 1.
const luminance = (colour) => {
  const [r, g, b] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const parsed = (text) => text.match(/[\d.]+/g).map(Number);
const isSeen = (colour) => colour.length < 4 || colour[3] > 0;
const behind = (element) => {
  if (element.closest("svg")) return parsed(getComputedStyle(element.parentNode.querySelector("rect")).fill);
  for (let at = element; at; at = at.parentElement) {
    const colour = parsed(getComputedStyle(at).backgroundColor);
    if (isSeen(colour)) return colour;
  }
  return [255, 255, 255];
};
const found = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.getClientRects().length || element.matches("title, script, :disabled, option")) continue;
  const style = getComputedStyle(element);
  const ink = parsed(element.closest("svg") ? style.fill : style.color);
  const [dark, light] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);
  const ratio = (light + 0.05) / (dark + 0.05);
  if (ratio < 4.5) found.add(`${ratio.toFixed(2)}: ${element.tagName} ${element.className} ${node.data.trim().slice(0, 40)}`);
}
return [...found];
