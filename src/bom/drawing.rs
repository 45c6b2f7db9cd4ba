//! The build graph as a picture (SVG): a row for each vertex, from top to bottom in the order of the build.
//!
//! File systems go down in lanes; what is read from elsewhere joins them in dashes. No font is measured: titles stand to
//! the right of all lanes, so that nothing overlaps, and all numbers are whole, so that every machine draws the same bytes.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::mem;

use super::graph::Vertex;
use super::shown::markup;

const ROW: usize = 28;
const LANE: usize = 20;
const MARGIN: usize = 16;
const RADIUS: usize = 6;
/// About the width of a letter.
const LETTER: usize = 8;
/// Longer titles are cut; the whole one is the row's tooltip.
const LONGEST: usize = 110;
/// Colours that are told apart on a light ground and on a dark one.
const TREE: &str = "#3f78d8";
const MATERIAL: &str = "#7d828c";

/// Returns the graph as an SVG document: the same bytes for the same graph.
pub fn svg(vertices: &[Vertex]) -> String {
    Drawing::of(vertices).to_svg()
}

/// Where everything is drawn.
struct Drawing<'a> {
    vertices: &'a [Vertex],
    /// The vertices' places in the graph, from top to bottom.
    order: Vec<usize>,
    /// The row of each vertex.
    rows: Vec<usize>,
    /// The lane of each vertex.
    lanes: Vec<usize>,
}

impl<'a> Drawing<'a> {
    fn of(vertices: &'a [Vertex]) -> Drawing<'a> {
        let order = order(vertices);
        let mut rows = vec![0; vertices.len()];
        for (row, place) in order.iter().enumerate() {
            rows[*place] = row;
        }
        let lanes = lanes(vertices, &order, &rows);
        Drawing { vertices, order, rows, lanes }
    }

    fn to_svg(&self) -> String {
        let (left, longest) = (self.left_of_titles(), self.longest_line());
        let (width, height) = (left + longest * LETTER + MARGIN, self.order.len() * ROW + MARGIN);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"list\" aria-label=\"The build graph\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"none\">\n"
        );
        for place in &self.order {
            self.draw_edges(&mut svg, *place);
        }
        for place in &self.order {
            self.draw_vertex(&mut svg, *place);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Each edge goes down the lane of what is needed, and over to who needs it in the last row.
    fn draw_edges(&self, svg: &mut String, place: usize) {
        let (x, y) = (self.x(place), self.y(place));
        for needed in self.vertices[place].needs(place) {
            let (from_x, from_y) = (self.x(needed), self.y(needed));
            let style = match self.vertices[place].parent == Some(needed) {
                true => format!("stroke=\"{TREE}\" stroke-width=\"2\""),
                false => format!("stroke=\"{MATERIAL}\" stroke-width=\"1.5\" stroke-dasharray=\"4 3\""),
            };
            let (turn, middle) = (y - ROW, y - ROW / 2);
            let _ = writeln!(
                svg,
                "<path {style} d=\"M{from_x} {from_y}V{turn}C{from_x} {middle} {x} {middle} {x} {y}\"/>"
            );
        }
    }

    fn draw_vertex(&self, svg: &mut String, place: usize) {
        let (vertex, x, y) = (&self.vertices[place], self.x(place), self.y(place));
        let (title, whole) = (markup(&cut(&vertex.title)), markup(&self.told(place)));
        let _ = write!(svg, "<g role=\"listitem\" aria-label=\"{whole}\"><title>{whole}</title>");
        let _ = match vertex.is_material {
            true => write!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{MATERIAL}\"/>",
                x - RADIUS + 1,
                y - RADIUS + 1,
                2 * RADIUS - 2,
                2 * RADIUS - 2
            ),
            false => write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{RADIUS}\" fill=\"{TREE}\"/>"),
        };
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"currentColor\">{title}",
            self.left_of_titles(),
            y + 4
        );
        if let Some(layer) = &vertex.layer {
            let _ = write!(svg, "<tspan dx=\"{LETTER}\" fill=\"{MATERIAL}\">layer {}</tspan>", layer.short());
        }
        svg.push_str("</text></g>\n");
    }

    /// Says in words what the lines show.
    fn told(&self, place: usize) -> String {
        let vertex = &self.vertices[place];
        let mut text = vertex.title.clone();
        for (index, needed) in vertex.needs(place).enumerate() {
            let word = match vertex.parent == Some(needed) {
                true => "on",
                false if index == 0 || (index == 1 && vertex.parent.is_some()) => "with",
                false => "and",
            };
            let _ = write!(text, "; {word} {}", self.vertices[needed].title);
        }
        text
    }

    fn x(&self, place: usize) -> usize {
        MARGIN + self.lanes[place] * LANE
    }

    fn y(&self, place: usize) -> usize {
        MARGIN + self.rows[place] * ROW
    }

    fn left_of_titles(&self) -> usize {
        2 * MARGIN + self.lanes.iter().max().unwrap_or(&0) * LANE
    }

    fn longest_line(&self) -> usize {
        const LAYER: usize = "  layer 0123456789ab".len();
        let length = |vertex: &Vertex| {
            vertex.title.chars().take(LONGEST).count() + if vertex.layer.is_some() { LAYER } else { 0 }
        };
        self.vertices.iter().map(length).max().unwrap_or(0)
    }
}

/// Returns the vertices in the order in which they are drawn: what is needed comes right before the first that needs it,
/// and the parent before what is read.
fn order(vertices: &[Vertex]) -> Vec<usize> {
    let mut order = Vec::with_capacity(vertices.len());
    let mut is_seen = vec![false; vertices.len()];
    for target in (0..vertices.len()).rev() {
        let mut waiting = vec![(target, false)];
        while let Some((place, is_ready)) = waiting.pop() {
            if is_ready {
                order.push(place);
            } else if !mem::replace(&mut is_seen[place], true) {
                waiting.push((place, true));
                let needs: Vec<usize> = vertices[place].needs(place).collect();
                waiting.extend(needs.into_iter().rev().map(|needed| (needed, false)));
            }
        }
    }
    order
}

/// Gives each vertex a lane that is its own until the last that needs it, which may go on in it.
fn lanes(vertices: &[Vertex], order: &[usize], rows: &[usize]) -> Vec<usize> {
    let mut last_use: Vec<usize> = rows.to_vec();
    for place in order {
        for needed in vertices[*place].needs(*place) {
            last_use[needed] = last_use[needed].max(rows[*place]);
        }
    }
    let (mut lanes, mut free, mut n_lanes) = (vec![0; vertices.len()], BTreeSet::new(), 0);
    for (row, place) in order.iter().enumerate() {
        let vertex = &vertices[*place];
        let parent = vertex.parent.filter(|parent| parent < place && last_use[*parent] == row);
        lanes[*place] =
            parent.map(|parent| lanes[parent]).or_else(|| free.pop_first()).unwrap_or_else(|| {
                n_lanes += 1;
                n_lanes - 1
            });
        let idle = vertex.needs(*place).filter(|needed| last_use[*needed] == row && Some(*needed) != parent);
        free.extend(idle.map(|needed| lanes[needed]));
        if last_use[*place] == row {
            free.insert(lanes[*place]);
        }
    }
    lanes
}

fn cut(title: &str) -> String {
    match title.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(title: &str, parent: Option<usize>, mounts: &[usize]) -> Vertex {
        Vertex { title: title.into(), parent, mounts: mounts.to_vec(), ..Vertex::default() }
    }

    fn material(title: &str) -> Vertex {
        Vertex { title: title.into(), is_material: true, ..Vertex::default() }
    }

    /// Each row's lane and title, from top to bottom.
    fn drawn(vertices: &[Vertex]) -> Vec<String> {
        let drawing = Drawing::of(vertices);
        drawing
            .order
            .iter()
            .map(|place| format!("{} {}", drawing.lanes[*place], vertices[*place].title))
            .collect()
    }

    #[test]
    fn a_build_goes_down_one_lane_and_what_it_reads_stands_beside_it() {
        let graph = [
            material("tool"),
            material("notes"),
            tree("base", None, &[]),
            tree("install", Some(2), &[]),
            tree("copy", Some(3), &[0, 1]),
            tree("configure", Some(4), &[]),
        ];
        assert_eq!(drawn(&graph), ["0 base", "0 install", "1 tool", "2 notes", "0 copy", "0 configure"]);
    }

    #[test]
    fn a_stage_that_is_read_later_keeps_its_lane_until_then() {
        let graph = [
            tree("base", None, &[]),
            tree("make", Some(0), &[]),
            tree("run", Some(0), &[]),
            tree("take", Some(2), &[1]),
            tree("test", Some(1), &[3]),
        ];
        assert_eq!(drawn(&graph), ["0 base", "1 make", "0 run", "0 take", "1 test"]);
    }

    #[test]
    fn names_are_escaped_and_edges_that_lead_nowhere_left_out() {
        let title = "<script>alert(1)</script>\u{202e}\"";
        let graph = [tree(title, Some(0), &[7, usize::MAX])];
        let drawn = svg(&graph);
        assert!(
            !drawn.contains("<script") && !drawn.contains("<path") && !drawn.contains('\u{202e}'),
            "{drawn}"
        );
        assert!(drawn.contains("&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩&quot;"), "{drawn}");
        assert!(svg(&[]).starts_with("<svg"));
    }

    #[test]
    fn a_picture_says_in_words_what_its_lines_show() {
        let graph =
            [tree("base", None, &[]), material("tool"), material("note"), tree("copy", Some(0), &[1, 2])];
        assert!(svg(&graph).contains("<title>copy; on base; with tool; and note</title>"), "{}", svg(&graph));
    }
}
