//! Tables in Markdown, printed line by line.

pub fn head(columns: &[&str]) {
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
}

pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}
