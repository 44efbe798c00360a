mod properties;
mod units;
