//! Writes metrics as text, in Prometheus' classic format or as `OpenMetrics`. Every value comes from the round that is shown, so nothing
//! is registered or kept; the crate prometheus-client keeps values itself, and writes the newer format alone.

use std::fmt::Write as _;

use crate::monitor::histogram::Histogram;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// What every Prometheus and `promtool check metrics` reads.
    Classic,
    /// What is asked for by `Accept`.
    OpenMetrics,
}

impl Format {
    /// Returns the format that an `Accept` header asks for.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Classic,
        }
    }

    /// Returns its media type.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It goes up, and its name ends in `_total`.
    Counter,
    /// It counts by how long something took.
    Histogram,
}

/// The metrics written so far.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

/// A metric that has its name, and gets its values.
pub(super) struct Family<'a> {
    name: &'static str,
    header: String,
    written: bool,
    text: &'a mut String,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            text: String::new(),
        }
    }

    /// Begins a metric. One that gets no value is left out.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let (word, family) = match (kind, self.format) {
            (Kind::Gauge, _) => ("gauge", name),
            (Kind::Histogram, _) => ("histogram", name),
            (Kind::Counter, Format::Classic) => ("counter", name),
            // There a family is named without the ending of its values.
            (Kind::Counter, Format::OpenMetrics) => ("counter", name.trim_end_matches("_total")),
        };
        Family {
            name,
            header: format!("# HELP {family} {help}\n# TYPE {family} {word}\n"),
            written: false,
            text: &mut self.text,
        }
    }

    /// Returns the text.
    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Writes a value with its labels. A value that is not known is left out.
    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.line("", labels, value);
        }
    }

    /// Writes the counts of a histogram with their labels.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let bounds = histogram.cumulative().map(|(bound, count)| (bound.to_string(), count));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), histogram.count)]) {
            let labels = [labels, &[("le", &bound)]].concat();
            self.line("_bucket", &labels, number(count));
        }
        self.line("_sum", labels, histogram.sum.as_secs_f64());
        self.line("_count", labels, number(histogram.count));
    }

    fn line(&mut self, ending: &str, labels: &[(&str, &str)], value: f64) {
        if !self.written {
            self.text.push_str(&self.header);
            self.written = true;
        }
        self.text.push_str(self.name);
        self.text.push_str(ending);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            // Writing to a string does not fail.
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Returns 1 or 0.
pub(super) fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Returns a number as metrics have it.
#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floating-point numbers, exact up to 2^53: 8 PiB of log"
)]
pub(super) fn number(number: u64) -> f64 {
    number as f64
}
