//! The service *calculation* (L28): sums, products and means of numbers, at a price per number.

use symbolon_keys::wire::Reader;
use symbolon_ledger::Amount;

use crate::service::{Ask, Performed, Service, ServiceError};

/// The most numbers in one request: what fits a pad frame with room for everything around it.
pub const MAX_NUMBERS: usize = 4096;

/// What to calculate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Operation {
    /// The sum.
    Sum = 1,
    /// The product.
    Product = 2,
    /// The mean, rounded towards zero.
    Mean = 3,
}

/// A request for a calculation: `u8 operation || i64 number ..`, big-endian.
///
/// ```
/// # use symbolon::{Ask, Calculate};
/// let ask = Calculate::sum([1, 2]);
/// assert_eq!(ask.request().len(), 1 + 2 * 8);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calculate {
    operation: Operation,
    numbers: Vec<i64>,
}

impl Calculate {
    /// Asks for the sum of `numbers`.
    #[must_use]
    pub fn sum(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self { operation: Operation::Sum, numbers: numbers.into_iter().collect() }
    }

    /// Asks for the product of `numbers`.
    #[must_use]
    pub fn product(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self { operation: Operation::Product, numbers: numbers.into_iter().collect() }
    }

    /// Asks for the mean of `numbers`, rounded towards zero.
    #[must_use]
    pub fn mean(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self { operation: Operation::Mean, numbers: numbers.into_iter().collect() }
    }

    fn parse(request: &[u8]) -> Result<Self, ServiceError> {
        const MALFORMED: ServiceError =
            ServiceError::Malformed("a calculation is an operation and i64 numbers");
        let mut reader = Reader::new(request);
        let operation = match reader.u8().map_err(|_| MALFORMED)? {
            1 => Operation::Sum,
            2 => Operation::Product,
            3 => Operation::Mean,
            _ => return Err(MALFORMED),
        };
        let (numbers, rest) = reader.rest().as_chunks::<8>();
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        if numbers.is_empty() || numbers.len() > MAX_NUMBERS {
            return Err(ServiceError::Malformed("a calculation takes 1 to 4096 numbers"));
        }
        Ok(Self { operation, numbers: numbers.iter().map(|bytes| i64::from_be_bytes(*bytes)).collect() })
    }

    fn evaluate(&self) -> Result<i64, ServiceError> {
        let overflow = || ServiceError::Refused("the result does not fit 64 bits".into());
        // At most 2^12 numbers of 2^63: their sum fits i128.
        let sum = || self.numbers.iter().fold(0_i128, |sum, &n| sum.saturating_add(n.into()));
        let result = match self.operation {
            Operation::Sum => sum(),
            Operation::Mean => {
                let count = i128::try_from(self.numbers.len()).map_err(|_| overflow())?;
                sum().checked_div(count).ok_or_else(overflow)?
            }
            Operation::Product => {
                let product = self.numbers.iter().try_fold(1_i64, |product, &n| product.checked_mul(n));
                return product.ok_or_else(overflow);
            }
        };
        i64::try_from(result).map_err(|_| overflow())
    }
}

impl Ask for Calculate {
    type Answer = i64;

    const SERVICE: &'static str = Calculation::NAME;

    fn request(&self) -> Vec<u8> {
        let numbers = self.numbers.iter().flat_map(|number| number.to_be_bytes());
        core::iter::once(self.operation as u8).chain(numbers).collect()
    }

    fn answer(&self, bytes: &[u8]) -> Result<i64, ServiceError> {
        let answer = bytes.try_into().map_err(|_| ServiceError::Malformed("an answer is one i64"))?;
        Ok(i64::from_be_bytes(answer))
    }
}

/// Calculates at a price per number.
#[derive(Clone, Debug)]
pub struct Calculation {
    per_number: Amount,
}

impl Calculation {
    const NAME: &'static str = "calculation";

    /// The service at `per_number` minor units for each number of a request.
    #[must_use]
    pub const fn at(per_number: Amount) -> Self {
        Self { per_number }
    }

    fn fee(&self, request: &Calculate) -> Result<Amount, ServiceError> {
        let count = u128::try_from(request.numbers.len()).unwrap_or(u128::MAX);
        let fee = self.per_number.minor_units().checked_mul(count);
        fee.map(Amount::new).ok_or_else(|| ServiceError::Refused("the fee exceeds every amount".into()))
    }
}

impl Default for Calculation {
    /// One minor unit a number.
    fn default() -> Self {
        Self::at(Amount::new(1))
    }
}

impl Service for Calculation {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn quote(&self, request: &[u8]) -> Result<Amount, ServiceError> {
        self.fee(&Calculate::parse(request)?)
    }

    async fn perform(&self, request: &[u8]) -> Result<Performed, ServiceError> {
        let request = Calculate::parse(request)?;
        let answer = request.evaluate()?.to_be_bytes().to_vec();
        Ok(Performed::new(answer, self.fee(&request)?))
    }
}
