//! Operators.

use hcl_edit::expr::{BinaryOp, BinaryOperator, Expression, UnaryOp, UnaryOperator};

use crate::convert;
use crate::number::Number;
use crate::value::{Marks, Value};

use super::{Evaluated, Failure, Scope};

impl Scope<'_> {
    pub(super) fn unary(&self, operation: &UnaryOp) -> Evaluated {
        let value = self.eval(&operation.expr)?;
        if value.is_unknown() {
            return Ok(value);
        }
        let result = match operation.operator.value() {
            UnaryOperator::Not => convert::to_bool(&value).map(|flag| Value::from(!flag)),
            UnaryOperator::Neg => convert::to_number(&value).map(|number| Value::from(number.negated())),
        };
        match result {
            Ok(result) => Ok(result.marked(value.marks)),
            Err(why) => Err(self.problem(&operation.expr, "Invalid operand", format!("For this operator {why}."))),
        }
    }

    pub(super) fn binary(&self, at: &Expression, operation: &BinaryOp) -> Evaluated {
        use BinaryOperator as Op;
        match operation.operator.value() {
            Op::And => self.logical(operation, false),
            Op::Or => self.logical(operation, true),
            operator @ (Op::Eq | Op::NotEq) => {
                let (left, right) = (self.eval(&operation.lhs_expr)?, self.eval(&operation.rhs_expr)?);
                let marks = left.all_marks() | right.all_marks();
                if left.has_unknown() || right.has_unknown() {
                    return Ok(Value::unknown().marked(marks));
                }
                let equal = left.revealed().kind == right.revealed().kind;
                Ok(Value::from(equal == (*operator == Op::Eq)).marked(marks))
            }
            operator => {
                let (left, left_marks) = self.number_operand(&operation.lhs_expr)?;
                let (right, right_marks) = self.number_operand(&operation.rhs_expr)?;
                let value = match (left, right) {
                    (Some(left), Some(right)) => self.arithmetic(at, operation, *operator, &left, &right)?,
                    _ => Value::unknown(),
                };
                Ok(value.marked(left_marks | right_marks))
            }
        }
    }

    /// `&&` and `||`: the right side is not evaluated where the left one decides.
    fn logical(&self, operation: &BinaryOp, decides: bool) -> Evaluated {
        let (left, left_marks) = self.bool_operand(&operation.lhs_expr)?;
        if left == Some(decides) {
            return Ok(Value::from(decides).marked(left_marks));
        }
        let (right, right_marks) = self.bool_operand(&operation.rhs_expr)?;
        let value = match (left, right) {
            (_, Some(right)) if right == decides => Value::from(decides),
            (Some(_), Some(right)) => Value::from(right),
            _ => Value::unknown(),
        };
        Ok(value.marked(left_marks | right_marks))
    }

    fn bool_operand(&self, at: &Expression) -> Result<(Option<bool>, Marks), Failure> {
        let value = self.eval(at)?;
        if value.is_unknown() {
            return Ok((None, value.marks));
        }
        match convert::to_bool(&value) {
            Ok(flag) => Ok((Some(flag), value.marks)),
            Err(why) => Err(self.problem(at, "Invalid operand", format!("For this operator {why}."))),
        }
    }

    fn number_operand(&self, at: &Expression) -> Result<(Option<Number>, Marks), Failure> {
        let value = self.eval(at)?;
        if value.is_unknown() {
            return Ok((None, value.marks));
        }
        match convert::to_number(&value) {
            Ok(number) => Ok((Some(number), value.marks)),
            Err(why) => Err(self.problem(at, "Invalid operand", format!("For this operator {why}."))),
        }
    }

    fn arithmetic(
        &self,
        at: &Expression,
        operation: &BinaryOp,
        operator: BinaryOperator,
        left: &Number,
        right: &Number,
    ) -> Evaluated {
        use BinaryOperator as Op;
        let result = match operator {
            Op::Less => return Ok(Value::from(left < right)),
            Op::LessEq => return Ok(Value::from(left <= right)),
            Op::Greater => return Ok(Value::from(left > right)),
            Op::GreaterEq => return Ok(Value::from(left >= right)),
            Op::Div | Op::Mod if right.is_zero() => {
                let detail = "The number on the right of this operator is zero.";
                return Err(self.problem(&operation.rhs_expr, "Division by zero", detail));
            }
            Op::Plus => left.checked_add(right),
            Op::Minus => left.checked_sub(right),
            Op::Mul => left.checked_mul(right),
            Op::Div => left.checked_div(right),
            Op::Mod => left.checked_rem(right),
            Op::Eq | Op::NotEq | Op::And | Op::Or => None,
        };
        result.map(Value::from).ok_or_else(|| self.out_of_range(at))
    }

    fn out_of_range(&self, at: &Expression) -> Failure {
        self.problem(
            at,
            "Number out of range",
            "The result is larger than 1e2400, or smaller than 1e-2400.",
        )
    }
}
