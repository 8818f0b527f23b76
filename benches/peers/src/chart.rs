//! The result as a chart (SVG). It shows the speed of each store relative to jobstore, on a log
//! scale.
//!
//! Contains the layout and the colors. The background is light or dark, according to the reader's
//! settings.

use std::fmt::Write as _;

use crate::store::Kind;
use crate::table::{ratio, value};
use crate::work::Row;

const WIDTH: f64 = 880.0;
const MARGIN: f64 = 24.0;
/// Where the bars begin, and their maximum width.
const LEFT: f64 = 130.0;
const SPAN: f64 = 520.0;
const TOP: f64 = 96.0;
const BAR: f64 = 13.0;
const STEP: f64 = 18.0;
const HEADING: f64 = 26.0;
const GAP: f64 = 16.0;

const STYLE: &str = "
  svg { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif }
  .ground { fill: #ffffff; stroke: #d1d9e0 } .text { fill: #1f2328 } .quiet { fill: #59636e }
  .title { font-size: 17px; font-weight: 600 } .heading { font-size: 13px; font-weight: 600 }
  .grid { stroke: #e3e8ed } .even { stroke: #0969da; stroke-dasharray: 3 3 }
  .ours { fill: #0969da } .theirs { fill: #b3bdc8 } .small { font-size: 11px }
  .figure { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
  .end { text-anchor: end } .middle { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d } .text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .grid { stroke: #262c34 } .even { stroke: #4493f8 } .ours { fill: #4493f8 }
    .theirs { fill: #525c68 } .figure { stroke: #0d1117 }
  }
";

struct Bar<'a> {
    name: &'a str,
    /// The speed relative to jobstore.
    speed: f64,
    /// The measured value, and its relation to jobstore.
    figure: String,
    relation: String,
}

pub fn draw(kinds: &[&Kind], rows: &[Row], about: &[&str]) -> String {
    let groups: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.chart.as_deref()?, bars(kinds, row))))
        .collect();
    let speeds = groups
        .iter()
        .flat_map(|(_, bars)| bars)
        .map(|bar| bar.speed.log10());
    // The axis has whole decades, so many that the shortest bar is visible.
    let least = (speeds.clone().fold(0.0, f64::min) - 0.2).floor();
    let most = speeds.fold(0.0, f64::max).ceil();
    let x = |decade: f64| LEFT + SPAN * (decade - least) / (most - least);
    let height_of = |bars: usize| HEADING + STEP * bars as f64 + GAP;
    let end = TOP
        + groups
            .iter()
            .map(|(_, bars)| height_of(bars.len()))
            .sum::<f64>();

    let mut svg = Svg::new(end + 20.0 + 16.0 * about.len() as f64);
    svg.text(MARGIN, 36.0, "text title", "How fast, next to jobstore");
    let under = "Longer is faster; each line is ten times the one before. Every write is synced.";
    svg.text(MARGIN, 56.0, "quiet", under);
    for decade in least as i32..=most as i32 {
        let (at, class) = (
            x(f64::from(decade)),
            if decade == 0 { "even" } else { "grid" },
        );
        svg.line(at, TOP - 8.0, end - GAP, class);
        svg.text(at, TOP - 14.0, "quiet small middle", &decade_name(decade));
    }
    let mut y = TOP;
    for (heading, bars) in &groups {
        svg.text(MARGIN, y + 17.0, "text heading", heading);
        let mut at = y + HEADING;
        for (n, bar) in bars.iter().enumerate() {
            let width = x(bar.speed.log10()) - LEFT;
            svg.bar(LEFT, at, width, if n == 0 { "ours" } else { "theirs" });
            svg.text(LEFT - 8.0, at + 11.0, "text end", bar.name);
            svg.figure(LEFT + width + 6.0, at + 11.0, bar);
            at += STEP;
        }
        y += height_of(bars.len());
    }
    for (n, line) in about.iter().enumerate() {
        svg.text(MARGIN, end + 14.0 + 16.0 * n as f64, "quiet small", line);
    }
    svg.end()
}

fn bars<'a>(kinds: &[&'a Kind], row: &Row) -> Vec<Bar<'a>> {
    let Some(ours) = row.medians[0] else {
        return Vec::new();
    };
    let bar = |(kind, median): (&&'a Kind, &Option<f64>)| {
        let theirs = (*median)?;
        let times = ratio(row.unit, ours, theirs);
        Some(Bar {
            name: kind.name,
            speed: 1.0 / times,
            figure: value(row.unit, theirs),
            relation: relation(times),
        })
    };
    kinds.iter().zip(&row.medians).filter_map(bar).collect()
}

/// Returns the relation in words, for a store that takes `times` times as long as jobstore.
fn relation(times: f64) -> String {
    let digits = |times: f64| if times < 9.95 { 1 } else { 0 };
    match times {
        1.0 => String::new(),
        t if t >= 1.05 => format!("{t:.*} times slower", digits(t)),
        t if t <= 1.0 / 1.05 => format!("{:.*} times faster", digits(1.0 / t), 1.0 / t),
        _ => "as fast".to_owned(),
    }
}

fn decade_name(decade: i32) -> String {
    match decade {
        0 => "jobstore".to_owned(),
        d if d < 0 => format!("1/{}", 10_u64.pow(d.unsigned_abs())),
        d => format!("{}×", 10_u64.pow(d.unsigned_abs())),
    }
}

struct Svg(String);

impl Svg {
    fn new(height: f64) -> Svg {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
             <title>How fast jobstore and its peers are</title>\n<style>{STYLE}</style>\n"
        );
        let (width, height) = (WIDTH - 1.0, height - 1.0);
        let _ = writeln!(
            svg,
            "<rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>"
        );
        Svg(svg)
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.0,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        );
    }

    fn figure(&mut self, x: f64, y: f64, bar: &Bar<'_>) {
        let (figure, relation) = (escaped(&bar.figure), escaped(&bar.relation));
        let _ = writeln!(
            self.0,
            "<text class=\"text figure\" x=\"{x:.1}\" y=\"{y:.1}\">{figure}\
             <tspan class=\"quiet small\" dx=\"7\">{relation}</tspan></text>"
        );
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, class: &str) {
        let _ = writeln!(
            self.0,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
        );
    }

    fn line(&mut self, x: f64, from: f64, to: f64, class: &str) {
        let _ = writeln!(
            self.0,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\"/>"
        );
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
