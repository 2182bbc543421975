/** Elements of the page; whatever comes from a scene becomes text, never markup. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, any>} [props] `class`, `text`, `on` (listeners by event); anything else is an attribute,
 *   left out where it is null or false
 * @param {...(Node|string|null)} children strings become text nodes
 * @returns {any} the element
 */
export function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") Object.entries(value).forEach(([event, run]) => element.addEventListener(event, run));
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Fill a select with choices and pick one.
 * @param {HTMLSelectElement} select
 * @param {[string, string][]} choices value and text
 * @param {string} chosen
 */
export function fill(select, choices, chosen) {
  const same =
    select.options.length === choices.length &&
    choices.every(([value, text], i) => select.options[i].value === value && select.options[i].text === text);
  if (!same) select.replaceChildren(...choices.map(([value, text]) => make("option", { value, text })));
  select.value = chosen;
}

/** @param {string} id @returns {any} the element of index.html that has this id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element #${id}`);
  return element;
}

/** @returns {boolean} whether the reader asked their system for less motion */
export function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/**
 * Offer a text as a file.
 * @param {string} name
 * @param {string} type
 * @param {string} text
 */
export function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
