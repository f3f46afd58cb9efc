// The connection. EventSource reconnects by itself and sends the id of the last message it had.
export function follow(store, onLink) {
  const source = new EventSource("/api/stream");
  source.addEventListener("whole", (event) => store.replace(JSON.parse(event.data)));
  source.addEventListener("changes", (event) => store.apply(JSON.parse(event.data)));
  source.addEventListener("open", () => onLink(true));
  source.addEventListener("error", () => {
    onLink(false);
    // a refusal ends an EventSource for good
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(store, onLink), 3000);
  });
}
