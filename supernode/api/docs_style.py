"""The style sheet of the page at ``/docs``: light or dark as the reader's system is."""

STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1c2024; --quiet: #5b6570; --line: #dfe3e8; --shade: #f4f6f8;
  --link: #0b5cad; --mark: #8a4b08; --mark-shade: #fdf0dd; --warn: #a4262c;
  --get: #0b6e4f; --post: #0b5cad; --put: #8a4b08; --delete: #a4262c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e4e7ea; --quiet: #9aa5b1; --line: #2e343b; --shade: #1d2125;
    --link: #7ab7f5; --mark: #f0b46a; --mark-shade: #3a2b16; --warn: #ff9a94;
    --get: #5fd3a6; --post: #7ab7f5; --put: #f0b46a; --delete: #ff9a94;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
main { padding: 1rem; max-width: 64rem; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
h1 { margin: .5rem 0; }
h1 small { color: var(--quiet); font-weight: normal; }
h2 { margin: 2.5rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { margin: 0; font-size: 1.1rem; }
h3 > a { color: inherit; }
h4 { margin: 1rem 0 .25rem; font-size: .9rem; color: var(--quiet); }
p { margin: .5rem 0; max-width: 48rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre {
  margin: 1rem 0 0; padding: .6rem .8rem; background: var(--shade); border-radius: 6px;
  white-space: pre-wrap;
}
article {
  margin: 1rem 0; padding: 1rem; border: 1px solid var(--line); border-radius: 8px;
}
article:target { border-color: var(--link); }
.summary { font-weight: 600; }
.method { font: 700 .8rem ui-monospace, monospace; }
.get { color: var(--get); } .post { color: var(--post); }
.put { color: var(--put); } .delete { color: var(--delete); }
.mark {
  padding: 0 .4em; border-radius: 4px; background: var(--mark-shade); color: var(--mark);
  font: .75rem system-ui, sans-serif; white-space: nowrap;
}
.required { color: var(--warn); font: .75rem system-ui, sans-serif; white-space: nowrap; }
.in { color: var(--quiet); font: .75rem system-ui, sans-serif; white-space: nowrap; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td {
  padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line);
  text-align: left; vertical-align: top; font-weight: normal;
}
th { width: 30%; } td:nth-child(2) { width: 30%; color: var(--quiet); }
nav { padding: 1rem 1rem 0; }
nav h2 { margin: 1rem 0 .25rem; padding: 0; border: 0; font-size: .9rem; }
nav ul { margin: 0; padding: 0; list-style: none; font-size: .85rem; }
nav li { margin: .2rem 0; }
nav li:has(.method) { padding-left: 3.6rem; text-indent: -3.6rem; }
nav .method { display: inline-block; width: 3.6rem; font-size: .7rem; text-indent: 0; }
@media (max-width: 64rem) {
  nav ul { display: none; }
  nav h2 { display: inline-block; margin: 0 1rem 0 0; }
}
@media (max-width: 40rem) {
  article { padding: .75rem; }
  table, tbody, tr, th, td { display: block; width: auto !important; border: 0; padding: 0; }
  tr { padding: .4rem 0; border-top: 1px solid var(--line); }
}
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 19rem minmax(0, 1fr); }
  nav {
    position: sticky; top: 0; height: 100vh; overflow-y: auto; padding-bottom: 1rem;
    border-right: 1px solid var(--line);
  }
  main { padding: 1rem 2rem; }
}
"""
