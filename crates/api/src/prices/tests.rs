use proptest::prelude::*;

use super::*;

fn table() -> &'static Prices {
    builtin()
}
