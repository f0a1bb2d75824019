// The state of the page and its events. Every part reads the state and renders again on the events that concern it.
export const noEdits = () => ({ off: new Set(), caption: null, recent: [] });

export const state = {
  deployment: null,
  shop: null, // types, brands and products, for scenes and results
  videos: [],
  viewers: [],
  viewer: null,
  index: 0,
  edits: noEdits(),
  edited: null, // the entry of the edited request, once it is answered
  log: [], // every request of this page, newest first
};

const listeners = new Map();

export function on(names, listener) {
  for (const name of names.split(" ")) listeners.set(name, [...(listeners.get(name) ?? []), listener]);
}

export function emit(name) {
  for (const listener of listeners.get(name) ?? []) listener();
}

export const video = () => state.videos[state.index];
export const isEdited = () => state.edits.off.size > 0 || state.edits.caption !== null || state.edits.recent.length > 0;

/** A choice that this browser remembers. Without storage, as in a private window, it lasts until the page is closed. */
export function remembered(name, fallback) {
  try {
    return localStorage.getItem(`onebar.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`onebar.${name}`, value);
  } catch {
    // The choice is not kept.
  }
}
