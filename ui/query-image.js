/** `<loupe-drop-zone>`: an image dropped or pasted anywhere on the page. Sends `loupe-image`; `prepare` makes it ready to send. */

import { el, emit, fill } from "./dom.js";
import { icon } from "./icons.js";
import { text } from "./text.js";

const LONGEST_SIDE = 1024; // px; more than any model looks at, and what a phone uploads in a moment

/** Shrinks a large image and thereby sheds its metadata; one the browser cannot decode goes as it is, for the server to judge. */
export async function prepare(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file;
  }
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}

export class DropZone extends HTMLElement {
  connectedCallback() {
    this.hidden = true;
    fill(this, el("div", { class: "drop-words" }, icon("image"), el("p", {}, text.search.drop)));
    document.addEventListener("dragenter", (event) => this.onDrag(event));
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("dragleave", () => { this.hidden = true; });
    this.addEventListener("drop", (event) => this.onDrop(event));
    document.addEventListener("paste", (event) => this.take(event.clipboardData.files, event));
  }

  onDrag(event) {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    this.hidden = false;
  }

  onDrop(event) {
    event.preventDefault();
    this.hidden = true;
    this.take(event.dataTransfer.files, event);
  }

  take(files, event) {
    if (!files.length) return;
    event.preventDefault();
    emit(this, "loupe-image", files[0]);
  }
}

customElements.define("loupe-drop-zone", DropZone);
