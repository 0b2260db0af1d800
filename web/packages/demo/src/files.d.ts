/** A file as a text, to be shown beside what it does. */
declare module '*?source' {
  const text: string;
  export default text;
}

declare module '*.css';
