/** Runs searches: one at a time, the newest wins, and pages follow one another. */

import * as api from "./api.js";
import { toRequest } from "./query.js";

export class Searcher extends EventTarget {
  /** The pages of the current answer as one: its hits grow as pages come. Null before the first answer. */
  answer = null;
  #request = null;
  #query = null;

  /** Asks anew; an unfinished request is abandoned. Sends `start`, then `answer` or `error`. */
  async run(query) {
    this.#request?.abort();
    this.#request = new AbortController();
    this.#query = query;
    const { signal } = this.#request;
    this.#send("start");
    await this.#ask(query, null, signal, (answer) => {
      this.answer = answer;
      this.#send("answer");
    });
  }

  /** Fetches the next page, if there is one and none is on its way. Sends `more` or `error`. */
  async more() {
    const cursor = this.answer?.nextCursor;
    if (!cursor || this.busy) return;
    this.#request = new AbortController();
    await this.#ask(this.#query, cursor, this.#request.signal, (page) => {
      this.answer = { ...page, hits: [...this.answer.hits, ...page.hits] };
      this.#send("more", page.hits);
    });
  }

  get busy() {
    return this.#request !== null;
  }

  /** Forgets the answer, as for another person. */
  forget() {
    this.#request?.abort();
    this.#request = null;
    this.answer = null;
  }

  async #ask(query, cursor, signal, accept) {
    const request = toRequest(query, cursor);
    try {
      const answer = query.image ? await api.similar(query.image, request, signal) : await api.search(request, signal);
      if (signal.aborted) return;
      this.#request = null;
      accept(answer);
    } catch (error) {
      if (signal.aborted) return;
      this.#request = null;
      if (!(error instanceof api.Problem)) throw error;
      this.#send("error", error);
    }
  }

  #send(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
