//! The program that valgrind runs. Arguments: beginnings of names.

fn main() {
    // `cargo bench` adds an option of its own.
    count::run(std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect());
}
