//! Figures of one run, beside their goals.

use std::time::Duration;

use serde::Serialize;

/// One figure over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// The value of each round.
    pub rounds: Vec<f64>,
    /// Their median.
    pub median: f64,
}

/// A figure with what it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// Which figure.
    pub name: String,
    /// At most this, in the figure's unit.
    pub goal: f64,
    /// The figure's median.
    pub value: f64,
    /// Whether it is met.
    pub met: bool,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// `kinfolk.budgets/1`.
    pub schema: &'static str,
    /// In the order they were measured.
    pub figures: Vec<Figure>,
    /// The goals that belong to them.
    pub goals: Vec<Goal>,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self { schema: "kinfolk.budgets/1", ..Self::default() }
    }

    /// Notes one round's value, in milliseconds.
    pub fn note(&mut self, name: &str, value: Duration) {
        let value = value.as_secs_f64() * 1000.0;
        let figure = match self.figures.iter_mut().position(|figure| figure.name == name) {
            Some(at) => self.figures.get_mut(at),
            None => {
                self.figures.push(Figure { name: name.into(), unit: "ms", rounds: Vec::new(), median: 0.0 });
                self.figures.last_mut()
            }
        };
        if let Some(figure) = figure {
            figure.rounds.push(value);
            figure.median = median(&figure.rounds);
        }
    }

    /// The median of a figure.
    pub fn median(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.name == name).map_or(f64::NAN, |figure| figure.median)
    }

    /// States what a figure should be at most, in milliseconds.
    pub fn goal(&mut self, name: &str, goal: f64) {
        let value = self.median(name);
        self.goals.push(Goal { name: name.into(), goal, value, met: value <= goal });
    }

    /// The report for people.
    pub fn print(&self) {
        println!("{:<58} {:>10}  rounds", "figure", "median ms");
        for figure in &self.figures {
            let rounds: Vec<String> = figure.rounds.iter().map(|value| format!("{value:.2}")).collect();
            println!("{:<58} {:>10.2}  {}", figure.name, figure.median, rounds.join("  "));
        }
        println!("\n{:<58} {:>10} {:>10}", "goal", "at most", "median");
        for goal in &self.goals {
            let verdict = if goal.met { "met" } else { "MISSED" };
            println!("{:<58} {:>10.2} {:>10.2}  {verdict}", goal.name, goal.goal, goal.value);
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
