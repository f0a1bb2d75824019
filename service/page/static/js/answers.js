// The answers for the videos of the feed: asked for before they are needed, one by one and in batches.
import { ApiError, recommend, recommendBatch } from "./api.js";
import { emit, isEdited, noEdits, state, video } from "./store.js";

const BATCH = 3;
const MAX_DEADLINE_MS = 10_000; // of the API
const DEBOUNCE_MS = 120;
const SEARCH_DEADLINE_MS = 2000;
const KEPT = 300;
const entries = new Map();
let edit = null; // the controller of the edited request that is under way
let timer = 0;

const keyOf = (item) => `${state.viewer?.user_id ?? ""} ${item.photo_id}`;

function bodyOf(item) {
  const body = { photo_id: item.photo_id, explain: state.deployment.explain };
  if (state.viewer) body.user_id = state.viewer.user_id;
  return body;
}

function put(key, entry) {
  entries.delete(key);
  entries.set(key, entry);
  if (entries.size > KEPT) entries.delete(entries.keys().next().value);
  emit("answer");
}

const failed = (error) => ({ status: "failed", error: error instanceof ApiError ? error : new ApiError("refused", String(error)) });

/** The entry that the phone and the panel show now: that of the edited request if there is one. */
export function current() {
  const item = video();
  if (!item) return undefined;
  return state.edited ?? entries.get(keyOf(item));
}

/** The entry of the video as it is stored, without edits. */
export const stored = () => video() && entries.get(keyOf(video()));

/** Marks a video as asked for. Returns the function that takes its entry; without one, the video is not known any more. */
function wait(key) {
  const waiting = { status: "waiting" };
  put(key, waiting);
  return (entry) => {
    if (entries.get(key) !== waiting) return; // forgotten since then, as after a change of the rules
    if (entry) put(key, entry);
    else entries.delete(key);
  };
}

/** Asks for one video, unless it is known. Returns whether it asked. */
async function ask(index) {
  const item = state.videos[index];
  if (!item) return false;
  const key = keyOf(item);
  if (entries.has(key)) return false;
  const take = wait(key);
  let entry;
  try {
    entry = await recommend(bodyOf(item), "single");
  } catch (error) {
    entry = failed(error);
  }
  take(entry);
  return true;
}

async function askBatch(indexes) {
  const items = indexes.map((index) => state.videos[index]).filter(Boolean);
  if (!items.length || items.some((item) => entries.has(keyOf(item)))) return;
  const takes = items.map((item) => wait(keyOf(item)));
  // All deadlines of a batch count from its arrival.
  const deadline_ms = Math.min(MAX_DEADLINE_MS, Math.max(100, state.deployment.deadline_ms * 2));
  let found = [];
  try {
    found = await recommendBatch(items.map((item) => ({ ...bodyOf(item), deadline_ms })));
  } catch {
    // None has an answer.
  }
  takes.forEach((take, at) => take(found[at]));
  askWatched(); // a video that got no answer is asked for alone when it is watched, which may be so already
}

/** Asks for the watched video, unless it is known. */
export const askWatched = () => ask(state.index);

/** Asks for the watched video and the next one. If the next one was not known, it asks for a few more at once. */
export async function prefetch() {
  const { index, viewer } = state;
  const isWatched = () => state.index === index && state.viewer === viewer;
  await ask(index);
  if (!isWatched() || !(await ask(index + 1))) return;
  if (isWatched()) await askBatch(Array.from({ length: BATCH }, (_, at) => index + 2 + at));
}

/** Asks again for what failed: the edited request if there is one, else the watched video. */
export function retry() {
  if (isEdited()) {
    state.edited = { status: "waiting" };
    emit("answer");
    editChanged(state.edits);
    return;
  }
  entries.delete(keyOf(video()));
  prefetch();
}

/** Puts the edits of the evidence into the body of a request. */
function editedBody() {
  const { off, caption, recent } = state.edits;
  const body = bodyOf(video());
  const evidence = {};
  if (off.has("text")) Object.assign(evidence, { caption: "", photo_title: "", title: "", item_title: "" });
  else if (caption !== null) evidence.caption = caption;
  if (off.has("summary")) evidence.summary = "";
  for (const name of ["anchors", "histories"]) if (off.has(name)) evidence[name] = [];
  if (off.has("personal")) delete body.user_id;
  else if (recent.length) body.recent_queries = recent;
  return { ...body, evidence };
}

/** Asks for the beam search of what is shown now, with a deadline that does not cut it. */
export async function askSearch(signal) {
  const body = isEdited() ? editedBody() : bodyOf(video());
  const deadline_ms = Math.max(SEARCH_DEADLINE_MS, state.deployment.deadline_ms);
  const { answer } = await recommend({ ...body, explain: false, explain_search: true, deadline_ms }, "search", signal);
  return answer.search;
}

/** Asks again with the edits, a moment after the last one. An answer to earlier edits is dropped. */
export function editChanged(edits) {
  state.edits = edits;
  clearTimeout(timer);
  edit?.abort();
  edit = null;
  if (!isEdited()) {
    state.edited = null;
    emit("answer");
    return;
  }
  timer = setTimeout(async () => {
    const mine = new AbortController();
    edit = mine;
    let entry;
    try {
      entry = await recommend(editedBody(), "edit", mine.signal);
    } catch (error) {
      entry = failed(error);
    }
    if (edit !== mine) return;
    state.edited = entry;
    emit("answer");
  }, DEBOUNCE_MS);
}

function dropEdits() {
  clearTimeout(timer);
  edit?.abort();
  edit = null;
  state.edits = noEdits();
  state.edited = null;
}

/** Asks for what is watched now, another video or for another viewer. The edits and the failures were those of before. */
export function watchedChanged() {
  dropEdits();
  for (const [key, entry] of entries) if (entry.status === "failed") entries.delete(key);
  emit("answer");
  prefetch();
}

/** Forgets all answers and asks again, as after a change of the rules. */
export function forgetAnswers() {
  dropEdits();
  entries.clear();
  emit("answer");
  prefetch();
}
