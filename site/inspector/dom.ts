/**
 * The part of the browser's document that the page uses. Nothing here takes HTML.
 *
 * @module
 */

/** Element of the page. */
export interface PageElement {
  id: string;
  className: string;
  textContent: string | null;
  tabIndex: number;
  /** Value of a text field or choice. */
  value: string;
  /** Files of a field for files. */
  readonly files: ArrayLike<File> | null;
  append(...nodes: (PageElement | string)[]): void;
  replaceChildren(...nodes: PageElement[]): void;
  setAttribute(name: string, value: string): void;
  addEventListener(type: string, listener: (event: PageEvent) => void): void;
  focus(): void;
}

/** Event on the page. */
export interface PageEvent {
  readonly dataTransfer?: { readonly files: ArrayLike<File> } | null;
  preventDefault(): void;
}

/** The page. */
export interface PageDocument {
  createElement(name: string): PageElement;
  getElementById(id: string): PageElement | null;
  addEventListener(type: string, listener: (event: PageEvent) => void): void;
}

/** The page that the script is in. */
export const page: PageDocument = (globalThis as unknown as { readonly document: PageDocument }).document;

/**
 * Makes an element.
 *
 * @param name Its name
 * @param content Texts, which are shown as they are, and elements
 */
export function element(name: string, ...content: (PageElement | string)[]): PageElement {
  const made = page.createElement(name);
  made.append(...content);
  return made;
}

/**
 * Finds an element of the page.
 *
 * @param id Its id
 * @throws {Error} When it is not there
 */
export function byId(id: string): PageElement {
  const found = page.getElementById(id);
  if (found === null) throw new Error(`The page has no ${id}`);
  return found;
}
