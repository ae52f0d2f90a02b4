/** The end of the page stays in sight while it grows, unless somebody has scrolled up. */

const NEAR_PIXELS = 80;

export function scrollToEnd() {
  window.scrollTo({ top: document.documentElement.scrollHeight });
}

/** `grow` changes the page. */
export function keepingTheEnd(grow) {
  const { scrollHeight, scrollTop, clientHeight } = document.documentElement;
  const follows = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
  grow();
  if (follows) scrollToEnd();
}
