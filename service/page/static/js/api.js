// Requests to the service. All addresses are relative, so the page works behind any prefix.
import { emit, state } from "./store.js";

const TIMEOUT_MS = 8000;
const LOG_ENTRIES = 500;
const KINDS = { 401: "unauthorized", 403: "forbidden", 404: "not_available", 409: "conflict", 429: "overloaded", 503: "down" };
// In memory only: they are gone when the page is closed.
let key = "";
let reviewKey = "";

export const setKey = (value) => { key = value.trim(); };
export const setReviewKey = (value) => { reviewKey = value.trim(); };

/** A request without a usable answer. `kind`: down, timeout, cancelled, refused, or one of KINDS. */
export class ApiError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

async function call(path, { body, signal, as = key } = {}) {
  // A header cannot have other characters: fetch fails before it sends, as if the service were down.
  if (!/^[!-~]*$/.test(as)) throw new ApiError("unauthorized", "");
  const headers = as ? { authorization: `Bearer ${as}` } : {};
  if (body) headers["content-type"] = "application/json";
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const stop = signal ? AbortSignal.any([signal, timeout]) : timeout;
  let response;
  let content;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal: stop });
    content = await response.json();
  } catch (error) {
    if (signal?.aborted) throw new ApiError("cancelled", "");
    throw new ApiError(timeout.aborted ? "timeout" : "down", error.message);
  }
  if (response.ok) return content;
  const faults = (content.errors ?? []).map((fault) => fault.message);
  throw new ApiError(KINDS[response.status] ?? "refused", [content.message ?? response.statusText, ...faults].join(" "));
}

function record(entry) {
  state.log.unshift({ at: Date.now(), ...entry });
  state.log.length = Math.min(state.log.length, LOG_ENTRIES);
  emit("log");
}

export const deployment = () => call("page/deployment.json");
export const feed = () => call("page/feed.json");
export const reports = () => call("page/reports.json");

/** The reviewer's API (docs/http_api.md), with the reviewer's key where one was entered. */
export const review = {
  possible: () => call("review", { as: reviewKey || key }),
  answers: (wanted) => call(`review/answers?${new URLSearchParams(wanted)}`, { as: reviewKey || key }),
  rules: () => call("review/rules", { as: reviewKey || key }),
  change: (body) => call("review/rules", { body, as: reviewKey || key }),
};

/** Returns the entry of one request: its answer, how it was asked, and the time until the answer was here. */
export async function recommend(body, how, signal) {
  const started = performance.now();
  const answer = await call("recommend", { body, signal });
  const entry = { status: "ready", answer, how, size: 1, roundTripMs: performance.now() - started };
  record({ how, size: 1, photo_id: answer.photo_id, decision: answer.decision, reason: answer.reason, totalMs: answer.timings_ms.total, roundTripMs: entry.roundTripMs });
  return entry;
}

/** Returns the entries of a batch, in the order of its requests; null for one that was refused. */
export async function recommendBatch(bodies) {
  const started = performance.now();
  const { results } = await call("recommend/batch", { body: { requests: bodies } });
  const roundTripMs = performance.now() - started;
  return results.map(({ response }) => {
    if (!response) return null;
    record({ how: "batch", size: bodies.length, photo_id: response.photo_id, decision: response.decision, reason: response.reason, totalMs: response.timings_ms.total, roundTripMs });
    return { status: "ready", answer: response, how: "batch", size: bodies.length, roundTripMs };
  });
}

/** Tells the service of a click, where the deployment takes feedback. A failure changes nothing for the viewer. */
export function sendClick(requestId, query, rank) {
  if (!state.deployment.feedback) return;
  call("feedback", { body: { request_id: requestId, event: "click", query, rank } }).catch(() => {});
}
