// Starts the page. The data are asked for while the modules that draw them (`view.js`) are loading.
import { askWatched, prefetch, watchedChanged } from "./answers.js";
import { deployment, feed, setKey } from "./api.js";
import { emit, on, state } from "./store.js";

const PATIENCE_MS = 1500; // for the first answer
const drawing = import("./view.js");

async function loadDeployment() {
  for (let isWrong = false; ; isWrong = true) {
    try {
      return await deployment();
    } catch (error) {
      if (error.kind !== "unauthorized") throw error;
      setKey(await (await drawing).askForKey(isWrong));
    }
  }
}

async function loadVideos() {
  if (state.deployment.feed) {
    const content = await feed();
    state.shop = content;
    state.videos = content.videos;
    state.viewers = content.viewers;
    return;
  }
  const { photo_id, user_id } = await (await drawing).askForVideo();
  state.videos = [{ photo_id, caption: "", author: "", aspect: "showcase", leading: "" }];
  state.viewers = user_id ? [{ user_id, tier: null, interests: [], queries: [] }] : [];
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function start() {
  try {
    state.deployment = await loadDeployment();
    await loadVideos();
  } catch (error) {
    (await drawing).showFailure(error);
    return;
  }
  state.viewer = state.viewers[0] ?? null;
  const asked = askWatched();
  const view = await drawing;
  view.mount();
  on("video viewer", watchedChanged);
  // The first bar is painted before anything else is asked for.
  await Promise.race([asked, pause(PATIENCE_MS)]);
  await view.painted();
  emit("started");
  view.mountRest().catch(() => {});
  await asked;
  prefetch();
}

start();
