/** The page's side of the HTTP contract: one function a route, and one kind of error. */

/** What went wrong, as RFC 9457 problem details say it. `status` is 0 when no answer came. */
export class Problem extends Error {
  constructor({ status = 0, type = "", title = "", detail = "", remedy = "", reasons = [] }) {
    super(detail || title);
    Object.assign(this, { name: "Problem", status, type, title, detail, remedy, reasons });
  }
}

let bearer = null; // held in memory only: a pasted token is gone with the page

/** Sends `token` with every request from now on; null goes back to the session cookie. */
export function useToken(token) {
  bearer = token;
}

export const session = () => call("/v1/session");
export const people = () => call("/v1/demo/people");
export const signIn = (user) => call("/v1/demo/sign-in", { json: { user } });
export const suggest = (q, signal) => call(`/v1/suggest?${new URLSearchParams({ q })}`, { signal });
export const search = (request, signal) => call("/v1/search", { json: request, signal });

export async function signOut() {
  const cookieSession = bearer === null;
  bearer = null;
  if (cookieSession) await call("/v1/demo/sign-out", { method: "POST" });
}

/** Searches by a picture, alone or together with what `request` asks. */
export function similar(image, request, signal) {
  const form = new FormData();
  form.append("image", image, "query-image");
  form.append("query", new Blob([JSON.stringify(request)], { type: "application/json" }));
  return call("/v1/similar", { method: "POST", body: form, signal });
}

export function asset(id, usage, signal) {
  return call(assetPath(id, "", usage), { signal });
}

/** @param {256|640|1280} size longest side in pixels */
export const previewUrl = (id, size) => assetPath(id, "/preview", { size });
export const playbackUrl = (id) => assetPath(id, "/playback");
export const downloadUrl = (id, usage) => assetPath(id, "/download", usage);

/** Shows a preview in `img`. The cookie travels by itself; a pasted token needs a request of our own. */
export async function showPreview(img, id, size) {
  if (bearer === null) {
    img.src = previewUrl(id, size);
    return;
  }
  const url = URL.createObjectURL(await (await send(previewUrl(id, size))).blob());
  img.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  img.src = url;
}

/** Whether links and media elements reach the server as the person (by cookie), not only requests of ours. */
export const linksSignedIn = () => bearer === null;

/** The original as a blob, for the case that a link would not be signed in. */
export const download = async (id, usage) => (await send(downloadUrl(id, usage))).blob();

function assetPath(id, rest = "", params = {}) {
  const given = Object.entries(params ?? {}).filter(([, value]) => value);
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  return `/v1/assets/${encodeURIComponent(id)}${rest}${query}`;
}

async function call(path, options = {}) {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

async function send(path, { method = "GET", json, body, signal } = {}) {
  const headers = { Accept: "application/json, application/problem+json, */*" };
  if (bearer !== null) headers.Authorization = `Bearer ${bearer}`;
  if (json !== undefined) {
    method = "POST";
    body = JSON.stringify(json);
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ type: "unreachable" });
  }
  if (!response.ok) throw new Problem({ ...(await problemOf(response)), status: response.status });
  return response;
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText }; // a proxy in between answered in words of its own
  }
}
