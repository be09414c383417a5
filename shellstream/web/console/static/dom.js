// Making elements: text goes in as text alone.

/**
 * @param {string} name
 * @param {Record<string, unknown>} attributes properties of the element, or attributes
 *     where their name has a dash or is `role`; `on` has its listeners
 */
export function make(name, { on = {}, ...attributes } = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "role" || key.includes("-")) element.setAttribute(key, value);
    else element[key] = value;
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...content);
  return element;
}

/** A button that looks less important than the one for what the page is for. */
export const button = (words, click, attributes = {}) =>
  make("button", { type: "button", className: "quiet", on: { click }, ...attributes }, words);

/** A button that is on or off. */
export function toggle(words, change, on = false) {
  const element = button(words, () => set(element.ariaPressed !== "true"));
  const set = (pressed) => {
    element.setAttribute("aria-pressed", String(pressed));
    change(pressed);
  };
  set(on);
  return element;
}

/** A button that shows a panel below it, and hides it again. */
export function opener(words, panel, attributes = {}) {
  const element = button(words, () => {}, { ...attributes, popoverTargetElement: panel });
  panel.popover = "auto";
  panel.addEventListener("beforetoggle", () => {
    const { bottom, right } = element.getBoundingClientRect();
    panel.style.top = `${bottom + 6}px`;
    // Below the button, as far as the screen is wide enough.
    panel.style.right = `max(.5rem, min(${document.documentElement.clientWidth - right}px, 100vw - 40.5rem))`;
    panel.style.maxHeight = `calc(100dvh - ${bottom + 14}px)`;
  });
  return element;
}

/** Put text on the clipboard, over plain HTTP too. */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = make("textarea", { value: text, className: "hidden" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
