//! The text of text, Markdown and HTML files, and what they call themselves.

use ego_tree::NodeRef;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use scraper::{Html, Node};

/// A file's title, where it has one, and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    pub title: Option<String>,
    pub text: String,
}

/// Whether files with this ending (in lower case, without the dot) are read.
pub fn is_text(ending: &str) -> bool {
    matches!(ending, "txt" | "text" | "md" | "markdown" | "html" | "htm" | "xhtml")
}

pub fn read(ending: &str, text: &str) -> Content {
    match ending {
        "md" | "markdown" => markdown(text),
        "html" | "htm" | "xhtml" => html(text),
        _ => Content { title: None, text: text.to_owned() },
    }
}

/// The words without the marks; blocks end with a blank line. The first heading is the title. What stands before the text
/// between lines of dashes is about it, not of it.
fn markdown(source: &str) -> Content {
    let (mut text, mut title, mut heading) = (String::new(), None, None);
    let mut raw = String::new();
    for event in Parser::new_ext(without_front_matter(source), Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Text(words) | Event::Code(words) if raw.is_empty() => text.push_str(&words),
            Event::Html(html) => raw.push_str(&html),
            Event::InlineHtml(tag) if tag.to_lowercase().starts_with("<br") => end_line(&mut text),
            Event::SoftBreak | Event::HardBreak => text.push('\n'),
            Event::Start(Tag::Heading { .. }) => {
                end_block(&mut text);
                heading = Some(text.len());
            }
            Event::End(TagEnd::Heading(_)) => {
                let start = heading.take().unwrap_or(text.len());
                title = title.or_else(|| Some(text[start..].trim().to_owned()).filter(|words| !words.is_empty()));
                end_block(&mut text);
            }
            Event::End(TagEnd::HtmlBlock) => {
                text.push_str(&html(&std::mem::take(&mut raw)).text);
                end_block(&mut text);
            }
            Event::End(TagEnd::TableCell) => text.push(' '),
            Event::Start(Tag::List(_) | Tag::Item) | Event::End(TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead) => {
                end_line(&mut text);
            }
            Event::Start(Tag::Paragraph | Tag::CodeBlock(_) | Tag::BlockQuote(_) | Tag::Table(_)) if !text.ends_with('\n') => {
                end_block(&mut text);
            }
            Event::End(TagEnd::Paragraph | TagEnd::CodeBlock | TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Table) => {
                end_block(&mut text);
            }
            _ => {}
        }
    }
    Content { title, text: text.trim().to_owned() }
}

/// What follows a block between `---` and `---` (or `...`) at the very beginning, as note programs write it.
fn without_front_matter(source: &str) -> &str {
    let Some(rest) = source.strip_prefix("---\n").or_else(|| source.strip_prefix("---\r\n")) else { return source };
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        end += line.len();
        if matches!(line.trim_end(), "---" | "...") {
            return &rest[end..];
        }
    }
    source
}

/// The visible text; block elements end a line. `<title>`, else the first `<h1>`, is the title.
fn html(source: &str) -> Content {
    let document = Html::parse_document(source);
    let mut text = String::new();
    visible(document.tree.root(), &mut text);
    let first = |name: &str| {
        let node = document.tree.nodes().find(|node| node.value().as_element().is_some_and(|element| element.name() == name))?;
        let words: String = node.descendants().filter_map(|node| Some(node.value().as_text()?.to_string())).collect();
        Some(words.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty())
    };
    Content { title: first("title").or_else(|| first("h1")), text: text.trim().to_owned() }
}

/// Elements whose content nobody reads.
const UNSEEN: [&str; 8] = ["head", "script", "style", "noscript", "template", "svg", "iframe", "object"];
/// Elements after which a new paragraph begins, and those after which only a new line does.
const BLOCKS: [&str; 22] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "dl",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "main",
    "nav",
    "p",
    "pre",
    "section",
    "table",
    "ul",
];
const LINES: [&str; 8] = ["br", "dd", "div", "dt", "li", "ol", "option", "tr"];

fn visible(node: NodeRef<'_, Node>, text: &mut String) {
    // A document may nest deeper than the stack: walk with edges rather than recursion.
    let mut unseen = 0_usize;
    for edge in node.traverse() {
        match edge {
            ego_tree::iter::Edge::Open(node) => match node.value() {
                Node::Element(element) if UNSEEN.contains(&element.name()) => unseen += 1,
                Node::Element(element) if BLOCKS.contains(&element.name()) && unseen == 0 => end_block(text),
                Node::Element(element) if LINES.contains(&element.name()) && unseen == 0 => end_line(text),
                Node::Text(words) if unseen == 0 => {
                    for (at, word) in words.split_whitespace().enumerate() {
                        let apart = at > 0 || words.starts_with(char::is_whitespace);
                        if apart && !text.is_empty() && !text.ends_with(char::is_whitespace) {
                            text.push(' ');
                        }
                        text.push_str(word);
                    }
                    if words.ends_with(char::is_whitespace) && !text.is_empty() && !text.ends_with(char::is_whitespace) {
                        text.push(' ');
                    }
                }
                _ => {}
            },
            ego_tree::iter::Edge::Close(node) => match node.value() {
                Node::Element(element) if UNSEEN.contains(&element.name()) => unseen = unseen.saturating_sub(1),
                Node::Element(element) if BLOCKS.contains(&element.name()) && unseen == 0 => end_block(text),
                Node::Element(element) if LINES.contains(&element.name()) && unseen == 0 => end_line(text),
                Node::Element(element) if matches!(element.name(), "td" | "th") && unseen == 0 => text.push(' '),
                _ => {}
            },
        }
    }
}

fn end_line(text: &mut String) {
    text.truncate(text.trim_end_matches([' ', '\t']).len());
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

fn end_block(text: &mut String) {
    end_line(text);
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_loses_its_marks_and_gives_its_first_heading() {
        let source =
            "---\ntags: x\n---\n# A *lease*\n\nUp in [May](http://x).\n\n- one\n- two\n\n```rust\nlet a = 1;\n```\n## Next\nend";
        let content = read("md", source);
        assert_eq!(content.title.as_deref(), Some("A lease"));
        assert_eq!(content.text, "A lease\n\nUp in May.\n\none\ntwo\n\nlet a = 1;\n\nNext\n\nend");
    }

    #[test]
    fn nothing_is_lost_or_glued_together() {
        let rules = "# Lease\nUp in May.\n\n---\nLandlord: Smith\n\n---\nNotes";
        assert_eq!(read("md", rules).text, "Lease\n\nUp in May.\n\nLandlord: Smith\n\nNotes");
        assert_eq!(read("md", "---\nno end of it").text, "no end of it");
        assert_eq!(read("md", "- Fruit\n  - apple\n  - pear\n- Nuts").text, "Fruit\napple\npear\n\nNuts");
        assert_eq!(
            read("md", "one<br>two <b>bold</b>\n\n<div>raw <i>words</i></div>\n\nend").text,
            "one\ntwo bold\n\nraw words\n\nend"
        );
        assert_eq!(read("html", "first line<div>second line</div>third").text, "first line\nsecond line\nthird");
    }

    #[test]
    fn html_gives_what_a_reader_sees() {
        let source = "<html><head><title> The\n lease </title><style>p{}</style></head><body><h1>Terms</h1><p>Up in <b>May</b>&amp;June.</p>\
            <script>var a;</script><table><tr><td>1</td><td>2</td></tr></table><ul><li>one<li>two</ul></body>";
        let content = read("html", source);
        assert_eq!(content.title.as_deref(), Some("The lease"));
        assert_eq!(content.text, "Terms\n\nUp in May&June.\n\n1 2\n\none\ntwo");
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let source = "<div>".repeat(20_000) + "deep";
        assert_eq!(read("html", &source).text, "deep");
    }
}
