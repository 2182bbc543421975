/** Keys of the whole page; a field that is being typed in keeps its own. */

const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), select, textarea";
const MOVED = /^(Arrow|Home|End|[+=-]$)/;

/**
 * Listen for keys.
 * @param {Object<string, () => void>} actions by the key's name
 */
export function armKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const typedWith = event.getModifierState("AltGraph");
    if (event.defaultPrevented || event.metaKey || ((event.ctrlKey || event.altKey) && !typedWith)) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (document.querySelector("dialog[open]") || target.matches(TYPED)) return;
    if (target.matches("input") && MOVED.test(event.key)) return;
    if (event.key === "Enter" && target.matches("button, summary, a, input")) return;
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (!action) return;
    event.preventDefault();
    action();
  });
}
